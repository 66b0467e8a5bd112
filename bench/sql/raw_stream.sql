-- The reference of a load: the columns of an event, one stream from version $2 on.
SELECT stream_version, global_position, event_id, event_type, data, blob, metadata, recorded_at
FROM {schema}.events
WHERE stream_no = (SELECT stream_no FROM {schema}.streams WHERE stream_id = $1) AND stream_version >= $2
ORDER BY stream_version
