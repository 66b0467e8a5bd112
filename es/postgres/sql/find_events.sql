-- The events that have these ids, each found by the index whatever the statistics say.
SELECT e.stream_id, e.stream_version, e.global_position, e.event_id, e.event_type, e.data, e.blob, e.metadata, e.recorded_at
FROM unnest($1::uuid[]) i (id)
CROSS JOIN LATERAL (SELECT * FROM {schema}.events e WHERE e.event_id = i.id LIMIT 1) e
ORDER BY e.global_position
