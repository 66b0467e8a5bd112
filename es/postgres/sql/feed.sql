-- The next rows of a window, in the order of positions. Two arms, each on an index:
-- what is above the position of the last frontier, and, from feed_stragglers, what
-- is at or below it and became visible only now.
-- $1 delivered up to, $2 position of the last frontier, $3 end of the epoch, $4 rows.
SELECT stream_id, stream_version, global_position, event_id, event_type, data, blob, metadata, recorded_at
FROM (
    (SELECT e.* FROM {schema}.events e
     WHERE e.global_position > greatest($1::bigint, $2::bigint) AND e.global_position <= $3::bigint
       AND {visible} {filter}
     ORDER BY e.global_position LIMIT $4)
    {stragglers}
) w
ORDER BY global_position
LIMIT $4
