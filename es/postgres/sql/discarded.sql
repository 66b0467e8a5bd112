-- The events of the subscriptions $1 that were given up, by position.
SELECT subscription, "position", stream_id, stream_version, error, attempts, discarded_by, reason, discarded_at
FROM {schema}.discarded
WHERE subscription = ANY ($1::text[])
ORDER BY "position", subscription, discard_no
