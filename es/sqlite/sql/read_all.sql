-- One page of the log by position, oldest or newest first. CROSS keeps the order of
-- the loops, so that nothing is sorted.
-- {bound} {order}: >= ASC or <= DESC. ?1 position, ?2 rows.
SELECT s.stream_id, e.stream_version, e.global_position, e.event_id, e.event_type, e.data, e.blob, e.metadata, e.recorded_at
FROM peat_events e
CROSS JOIN peat_streams s ON s.stream_no = e.stream_no
WHERE e.global_position {bound} ?1
ORDER BY e.global_position {order}
LIMIT ?2
