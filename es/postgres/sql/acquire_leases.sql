-- Takes those of the leases $2 of schema $1 that nobody holds, the first $3 of them at
-- most, and answers them. To be asked only for leases that the session does not hold: a
-- lock counts how often it was taken.
WITH held AS MATERIALIZED (SELECT key FROM {schema}.held_leases),
     free AS MATERIALIZED (
         SELECT n.name, {schema}.lease_key($1, n.name) AS key
         FROM unnest($2::text[]) WITH ORDINALITY n (name, ord)
         WHERE {schema}.lease_key($1, n.name) NOT IN (SELECT held.key FROM held)
         ORDER BY n.ord
         LIMIT $3)
SELECT free.name, pg_try_advisory_lock(free.key) FROM free
