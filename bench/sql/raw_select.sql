-- The reference of a replay: the columns of an event, the whole log, in one stream.
SELECT stream_id, stream_version, global_position, event_id, event_type, data, blob, metadata, recorded_at
FROM {schema}.events
ORDER BY global_position
