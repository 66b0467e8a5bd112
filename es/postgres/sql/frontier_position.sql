-- The last position drawn: first statement of a frontier. A sequence that was never
-- called holds the position that will be drawn first.
SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END FROM {schema}.events_global_position_seq
