-- Keeps a snapshot, unless a later one of the same schema and form is there.
INSERT INTO {schema}.snapshots AS s (stream_id, version, event_id, state_schema, state_form, state)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT ON CONSTRAINT snapshots_pkey DO UPDATE
SET version = excluded.version, event_id = excluded.event_id, state_schema = excluded.state_schema,
    state_form = excluded.state_form, state = excluded.state, taken_at = excluded.taken_at
WHERE (s.state_schema, s.state_form) <> (excluded.state_schema, excluded.state_form) OR s.version < excluded.version
