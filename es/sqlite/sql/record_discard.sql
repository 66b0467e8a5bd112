-- Records that version ?2 of stream ?1 is given up in those subscriptions of the JSON
-- array ?3 where it is parked, by ?4 for the reason ?5 at ?6.
INSERT INTO peat_discarded (subscription, position, stream_id, stream_version, error, attempts, discarded_by, reason, discarded_at)
SELECT subscription, position, stream_id, stream_version, error, attempts, ?4, ?5, ?6
FROM peat_parked
WHERE subscription IN (SELECT value FROM json_each(?3)) AND stream_id = ?1 AND stream_version = ?2
