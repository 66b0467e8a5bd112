-- One page of a category by position, oldest or newest first, from its index.
-- {bound} {order}: >= ASC or <= DESC. ?1 position, ?2 rows, ?3 category.
SELECT s.stream_id, e.stream_version, e.global_position, e.event_id, e.event_type, e.data, e.blob, e.metadata, e.recorded_at
FROM peat_events e INDEXED BY peat_events_category_idx
CROSS JOIN peat_streams s ON s.stream_no = e.stream_no
WHERE e.category = ?3 AND e.global_position {bound} ?1
ORDER BY e.global_position {order}
LIMIT ?2
