-- Streams as append_events leaves them after $2 events each: the same transaction
-- is the last of all. $1 streams, $2 version.
INSERT INTO {schema}.streams (stream_id, category, version, last_xid, last_epoch)
SELECT 'bench-' || n, 'bench', $2, pg_current_xact_id(), 1
FROM generate_series(0, $1::int - 1) n
