-- The last version of a stream; no row where the stream is unknown.
SELECT version FROM {schema}.streams WHERE stream_id = $1
