-- The first ?3 parked events of stream ?2 in subscription ?1, a negative number for
-- all, oldest first. CROSS keeps the order of the loops, so that nothing is sorted.
SELECT p.stream_id, e.stream_version, e.global_position, e.event_id, e.event_type, e.data, e.blob, e.metadata, e.recorded_at
FROM peat_parked p INDEXED BY peat_parked_stream_idx
CROSS JOIN peat_events e ON e.global_position = p.position
WHERE p.subscription = ?1 AND p.stream_id = ?2
ORDER BY p.stream_version
LIMIT ?3
