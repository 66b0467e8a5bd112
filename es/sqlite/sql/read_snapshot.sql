-- The latest snapshot of a stream.
SELECT version, event_id, state_schema, state_form, state FROM peat_snapshots WHERE stream_id = ?1
