-- Takes those of the leases $2 of schema $1 that nobody holds, and answers them. To be
-- asked only for leases that the session does not hold: a lock counts how often it was
-- taken.
SELECT n.name, pg_try_advisory_lock({schema}.lease_key($1, n.name)) FROM unnest($2::text[]) n (name)
