-- The ids from the first event with id ?4 at a version from ?2 to ?3 of stream ?1
-- up to version ?5, oldest first; no row if there is no such event.
SELECT stream_version, event_id, global_position
FROM peat_events
WHERE stream_no = ?1
  AND stream_version BETWEEN (
      SELECT min(stream_version) FROM peat_events
      WHERE stream_no = ?1 AND stream_version BETWEEN ?2 AND ?3 AND event_id = ?4) AND ?5
ORDER BY stream_version
