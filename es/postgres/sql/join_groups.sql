-- Makes the session a member of the groups $2 of schema $1 that it is not in yet: a lock
-- counts how often it was taken.
SELECT pg_advisory_lock_shared({schema}.lease_key($1, 'group ' || n.name)) FROM unnest($2::text[]) n (name)
