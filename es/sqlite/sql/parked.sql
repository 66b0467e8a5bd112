-- The parked events of the subscriptions in the JSON array ?1, by position.
SELECT subscription, position, stream_id, stream_version, error, attempts, parked_at, redrive
FROM peat_parked
WHERE subscription IN (SELECT value FROM json_each(?1))
ORDER BY position, subscription
