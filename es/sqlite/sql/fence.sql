-- Gives subscription ?1, where it exists, the first revision of claim ?2.
UPDATE peat_subscriptions SET revision = ?2 << 32 WHERE name = ?1
