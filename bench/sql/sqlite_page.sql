-- The ?2 next events behind position ?1, in the order of positions.
SELECT position, version, event_id, event_type, data, recorded_at FROM events WHERE position > ?1 ORDER BY position LIMIT ?2
