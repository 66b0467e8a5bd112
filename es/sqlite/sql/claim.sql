-- Gives subscription ?1 the first revision of claim ?2, made by holder ?3 at ?4.
-- Answers its checkpoint and the revision.
INSERT INTO peat_subscriptions (name, revision, updated_at, holder, claimed_at)
VALUES (?1, ?2 << 32, ?4, ?3, ?4)
ON CONFLICT (name) DO UPDATE
SET revision = excluded.revision, holder = excluded.holder, claimed_at = excluded.claimed_at, error = ''
RETURNING checkpoint, revision
