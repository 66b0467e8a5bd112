-- The discarded events of the subscriptions in the JSON array ?1, by position.
SELECT subscription, position, stream_id, stream_version, error, attempts, discarded_by, reason, discarded_at
FROM peat_discarded
WHERE subscription IN (SELECT value FROM json_each(?1))
ORDER BY position, discard_no
