-- One page of a category by position, oldest or newest first.
-- {bound} {order}: >= ASC or <= DESC. $1 position, $2 rows, $3 category.
SELECT stream_id, stream_version, global_position, event_id, event_type, data, blob, metadata, recorded_at
FROM {schema}.events
WHERE category = $3 AND global_position {bound} $1
ORDER BY global_position {order}
LIMIT $2
