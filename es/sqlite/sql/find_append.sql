-- The ids of stream ?1 from the event with id ?2 on, ?3 of them at most, oldest first; no
-- row if that event is not in the stream.
SELECT stream_version, event_id, global_position
FROM peat_events
WHERE stream_no = ?1
  AND stream_version >= (SELECT stream_version FROM peat_events WHERE event_id = ?2 AND stream_no = ?1)
ORDER BY stream_version
LIMIT ?3
