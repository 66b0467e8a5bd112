-- Adds ?3 to the version of stream ?1 of category ?2 if the version is as ?4
-- expects: a version (0: no stream), -1 for any, -2 for a stream that exists; and if its
-- last event is ?5, NULL for any. ?6 is the last event then. One row with the stream's
-- number and its new version; no row where it is not so.
INSERT INTO peat_streams (stream_id, category, version, last_event)
SELECT ?1, ?2, ?3, ?6
WHERE ?4 IN (0, -1) OR EXISTS (SELECT 1 FROM peat_streams WHERE stream_id = ?1)
ON CONFLICT (stream_id) DO UPDATE SET version = version + excluded.version, last_event = excluded.last_event
WHERE (version = ?4 OR ?4 < 0) AND (?5 IS NULL OR last_event = ?5)
RETURNING stream_no, version
