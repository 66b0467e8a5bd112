-- The position of the newest event, 0 for none.
SELECT coalesce(max(global_position), 0) FROM peat_events
