-- Takes back a parked event.
DELETE FROM peat_parked WHERE subscription = ?1 AND position = ?2
