-- One page of a stream, oldest or newest first, with the stream's head from the
-- same snapshot. One row without an event where the page is empty; no row where
-- the stream is unknown.
-- {bound} {order}: >= ASC or <= DESC. ?1 stream, ?2 version, ?3 rows.
SELECT s.version, e.stream_version, e.global_position, e.event_id, e.event_type, e.data, e.blob, e.metadata, e.recorded_at
FROM peat_streams s
LEFT JOIN peat_events e ON e.stream_no = s.stream_no AND e.stream_version {bound} ?2
WHERE s.stream_id = ?1
ORDER BY e.stream_version {order}
LIMIT ?3
