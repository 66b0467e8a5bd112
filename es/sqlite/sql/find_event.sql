-- The event that has this id.
SELECT s.stream_id, e.stream_version, e.global_position, e.event_id, e.event_type, e.data, e.blob, e.metadata, e.recorded_at
FROM peat_events e
JOIN peat_streams s ON s.stream_no = e.stream_no
WHERE e.event_id = ?1
