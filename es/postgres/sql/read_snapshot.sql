-- The latest snapshot of a stream.
SELECT version, event_id, state_schema, state_form, state FROM {schema}.snapshots WHERE stream_id = $1
