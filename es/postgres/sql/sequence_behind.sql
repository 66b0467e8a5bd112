-- Whether positions would be given out a second time: logical replication copies the
-- events and not the sequence.
SELECT coalesce((SELECT max(global_position) FROM {schema}.events), 0)
     > (SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END FROM {schema}.events_global_position_seq)
