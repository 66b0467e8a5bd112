-- The next rows of a window, in the order of positions. The arms of feed_arm are
-- above the position of the last frontier, that of feed_stragglers at or below it,
-- of what became visible only now. Each arm is on an index.
-- $1 delivered up to, $2 position of the last frontier, $3 end of the epoch, $4 rows.
SELECT stream_id, stream_version, global_position, event_id, event_type, data, blob, metadata, recorded_at
FROM (
    {arms}
) w
ORDER BY global_position
LIMIT $4
