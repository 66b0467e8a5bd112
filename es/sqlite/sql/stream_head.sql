-- The number and the last version of a stream; no row where it has no events.
SELECT stream_no, version FROM peat_streams WHERE stream_id = ?1
