-- The number and the last version of a stream, and the id of its event; no row where it has
-- no events.
SELECT stream_no, version, last_event FROM peat_streams WHERE stream_id = ?1
