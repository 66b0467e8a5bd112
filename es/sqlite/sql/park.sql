-- Sets an event aside. One that is parked already keeps its time, and is no longer
-- asked for.
INSERT INTO peat_parked (subscription, position, stream_id, stream_version, error, attempts, parked_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (subscription, position) DO UPDATE SET error = excluded.error, attempts = excluded.attempts, redrive = 0
