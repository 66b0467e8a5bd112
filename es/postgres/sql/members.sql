-- The processes of the sessions that are in each of the groups $2 of schema $1, in the
-- order of the groups.
WITH held AS MATERIALIZED (SELECT key, pid FROM {schema}.held_leases)
SELECT ARRAY(SELECT held.pid FROM held WHERE held.key = {schema}.lease_key($1, 'group ' || n.name) ORDER BY held.pid)
FROM unnest($2::text[]) WITH ORDINALITY n (name, ord)
ORDER BY n.ord
