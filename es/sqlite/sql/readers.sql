-- The readers of the subscriptions in the JSON array ?1, one row for each, with its
-- index in the array.
SELECT n.key, s.checkpoint, coalesce(s.revision, 0), coalesce(s.holder, ''), coalesce(s.claimed_at, 0),
       coalesce(s.updated_at, 0), coalesce(s.error, ''), (SELECT count(*) FROM peat_parked WHERE subscription = n.value)
FROM json_each(?1) n
LEFT JOIN peat_subscriptions s ON s.name = n.value
