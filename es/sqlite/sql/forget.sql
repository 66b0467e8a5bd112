-- Deletes the progress of a subscription.
DELETE FROM peat_subscriptions WHERE name = ?1
