-- The last position drawn, 0 for none: first statement of a frontier. The function reads
-- the sequence under its buffer's lock. A SELECT of last_value does not, and can see a
-- value up to 32 ahead, which nobody has drawn yet; see docs/adr/0011.
SELECT coalesce(pg_sequence_last_value('{schema}.events_global_position_seq'::regclass), 0)
