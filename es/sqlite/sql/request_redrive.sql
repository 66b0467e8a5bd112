-- Asks for the parked events of stream ?1, '' for all streams, in the subscriptions
-- of the JSON array ?2.
UPDATE peat_parked SET redrive = 1
WHERE subscription IN (SELECT value FROM json_each(?2)) AND (?1 = '' OR stream_id = ?1)
