-- The next events behind ?1 up to ?2 that the filter selects, ?3 of them at most. Of
-- several arms, which differ in {index} and {filter}, the rows are merged.
-- CROSS keeps the order of the loops, so that nothing is sorted.
SELECT s.stream_id, e.stream_version, e.global_position, e.event_id, e.event_type, e.data, e.blob, e.metadata, e.recorded_at
FROM peat_events e {index}
CROSS JOIN peat_streams s ON s.stream_no = e.stream_no
WHERE e.global_position > ?1 AND e.global_position <= ?2 {filter}
{more arms}
ORDER BY 3
LIMIT ?3
