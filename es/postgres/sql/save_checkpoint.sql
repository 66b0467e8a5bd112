-- Replaces the checkpoint of a subscription if it is of revision $2, 0 for none yet.
-- Answers the new revision; no row where it is not so.
INSERT INTO {schema}.subscriptions AS s (name, checkpoint, revision)
SELECT $1, $3::text::jsonb, 1
WHERE $2::bigint = 0 OR EXISTS (SELECT FROM {schema}.subscriptions WHERE name = $1)
ON CONFLICT ON CONSTRAINT subscriptions_pkey DO UPDATE
SET checkpoint = excluded.checkpoint, revision = s.revision + 1, updated_at = clock_timestamp()
WHERE s.revision = $2
RETURNING s.revision
