-- Whether positions would be given out a second time: logical replication copies the
-- events and not the sequence.
SELECT coalesce((SELECT max(global_position) FROM {schema}.events), 0)
     > coalesce(pg_sequence_last_value('{schema}.events_global_position_seq'::regclass), 0)
