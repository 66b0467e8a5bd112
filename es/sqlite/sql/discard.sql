-- Deletes the parked version ?2 of stream ?1 in the subscriptions of the JSON array ?3.
DELETE FROM peat_parked
WHERE subscription IN (SELECT value FROM json_each(?3)) AND stream_id = ?1 AND stream_version = ?2
