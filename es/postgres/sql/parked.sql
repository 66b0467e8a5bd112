-- The parked events of the subscriptions $1, by position.
SELECT subscription, "position", stream_id, stream_version, error, attempts, parked_at, redrive
FROM {schema}.parked
WHERE subscription = ANY ($1::text[])
ORDER BY "position", subscription
