-- Deletes the parked events of a subscription.
DELETE FROM peat_parked WHERE subscription = ?1
