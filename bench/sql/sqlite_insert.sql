-- One event of the reference.
INSERT INTO events (stream, version, event_id, event_type, data, recorded_at) VALUES (?, ?, ?, ?, ?, ?)
