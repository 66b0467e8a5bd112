-- The reference of a load by snapshot: the latest one of stream $1.
SELECT version, state
FROM {schema}.snapshots
WHERE stream_id = $1
