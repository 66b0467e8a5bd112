-- The last version of a stream and the id of its event; no row where the stream is unknown.
SELECT version, last_event FROM {schema}.streams WHERE stream_id = $1
