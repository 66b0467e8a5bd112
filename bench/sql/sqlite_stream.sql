-- The reference of a load: stream ?1 in order.
SELECT position, version, event_id, event_type, data, recorded_at FROM events WHERE stream = ?1 ORDER BY version
