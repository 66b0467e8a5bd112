-- How many of the positions in the JSON array ?2 are parked for subscription ?1.
SELECT count(*) FROM peat_parked WHERE subscription = ?1 AND position IN (SELECT value FROM json_each(?2))
