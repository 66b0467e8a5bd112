-- Writes events with the next positions, one per {row}. Answers the last position.
INSERT INTO peat_events (stream_no, category, recorded_at, stream_version, event_id, event_type, data, blob, metadata)
VALUES {rows}
