-- An event id is in the log once, and a stream knows the id of its last event.

-- By it a repeated append or command is found, however long ago it landed.
CREATE UNIQUE INDEX peat_events_event_id_key ON peat_events (event_id);

-- What a writer has read can be compared with it: after an older copy of the file was
-- restored, the same version can be another event.
ALTER TABLE peat_streams ADD COLUMN last_event BLOB;
UPDATE peat_streams
SET last_event = (SELECT e.event_id FROM peat_events e
                  WHERE e.stream_no = peat_streams.stream_no AND e.stream_version = peat_streams.version);

-- A fingerprint of the state's type.
ALTER TABLE peat_snapshots ADD COLUMN state_form TEXT NOT NULL DEFAULT '';
