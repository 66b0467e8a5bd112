-- Keeps why the reader of revision ?2 stopped, if the subscription is of it.
UPDATE peat_subscriptions SET error = ?3 WHERE name = ?1 AND revision = ?2
