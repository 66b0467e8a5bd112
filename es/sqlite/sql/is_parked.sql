-- Whether subscription ?1 has an event of stream ?2 parked, other than those at the
-- positions in the JSON array ?3.
SELECT EXISTS (
    SELECT 1 FROM peat_parked
    WHERE subscription = ?1 AND stream_id = ?2 AND position NOT IN (SELECT value FROM json_each(?3)))
