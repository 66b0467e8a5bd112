-- The states of the subscriptions $2 of schema $1, in their order.
WITH held AS MATERIALIZED (SELECT key FROM {schema}.held_leases)
SELECT coalesce(s.checkpoint::text, ''), coalesce(s.revision, 0), coalesce(s.holder, ''),
       EXISTS (SELECT FROM held WHERE held.key = {schema}.lease_key($1, n.name)),
       s.claimed_at, s.updated_at, coalesce(s.failure, ''),
       (SELECT count(*) FROM {schema}.parked p WHERE p.subscription = n.name)
FROM unnest($2::text[]) WITH ORDINALITY n (name, ord)
LEFT JOIN {schema}.subscriptions s ON s.name = n.name
ORDER BY n.ord
