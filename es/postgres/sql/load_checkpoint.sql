-- The checkpoint of a subscription; no row where it has none.
SELECT checkpoint::text, revision FROM {schema}.subscriptions WHERE name = $1
