-- Gives the leases $2 of schema $1 back, and answers which of them were held.
SELECT n.name, pg_advisory_unlock({schema}.lease_key($1, n.name)) FROM unnest($2::text[]) n (name)
