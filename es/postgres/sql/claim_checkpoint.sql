-- Takes over subscription $1 for holder $2. Answers the checkpoint, NULL for the
-- beginning of the log, and a revision above every one that was ever given under the
-- name: the upper half is a new number of the sequence. The row's own number counts,
-- too, because logical replication copies rows and leaves the sequence behind.
INSERT INTO {schema}.subscriptions AS s (name, revision, holder, claimed_at)
VALUES ($1, nextval('{schema}.claims') << 32, $2, clock_timestamp())
ON CONFLICT ON CONSTRAINT subscriptions_pkey DO UPDATE
SET revision = greatest(excluded.revision, ((s.revision >> 32) + 1) << 32),
    holder = excluded.holder, claimed_at = excluded.claimed_at, failure = NULL
RETURNING s.checkpoint::text, s.revision
