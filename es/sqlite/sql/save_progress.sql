-- Replaces the checkpoint of a subscription if it is of revision ?2, 0 for none yet,
-- and forgets why its reader stopped. Answers the new revision; no row where it is
-- not so.
INSERT INTO peat_subscriptions (name, checkpoint, revision, updated_at)
SELECT ?1, ?3, 1, ?4
WHERE ?2 = 0 OR EXISTS (SELECT 1 FROM peat_subscriptions WHERE name = ?1)
ON CONFLICT (name) DO UPDATE
SET checkpoint = excluded.checkpoint, revision = revision + 1, updated_at = excluded.updated_at, error = ''
WHERE revision = ?2
RETURNING revision
