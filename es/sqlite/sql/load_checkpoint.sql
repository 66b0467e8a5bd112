-- The checkpoint of a subscription; no row where it has none.
SELECT checkpoint, revision FROM peat_subscriptions WHERE name = ?1
