-- The session's process, and those of the leases $2 of schema $1 that it holds.
WITH held AS MATERIALIZED (SELECT key FROM {schema}.held_leases WHERE pid = pg_backend_pid())
SELECT pg_backend_pid(), ARRAY(
    SELECT n.name FROM unnest($2::text[]) n (name)
    WHERE {schema}.lease_key($1, n.name) IN (SELECT key FROM held))
