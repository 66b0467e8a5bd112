-- Moves the parked event of stream $1 and version $2 of the subscriptions $3 to those
-- given up, by $4 and because of $5. Answers how many there were.
WITH gone AS (
    DELETE FROM {schema}.parked
    WHERE subscription = ANY ($3::text[]) AND stream_id = $1 AND stream_version = $2
    RETURNING subscription, "position", stream_id, stream_version, error, attempts),
kept AS (
    INSERT INTO {schema}.discarded (subscription, "position", stream_id, stream_version, error, attempts, discarded_by, reason)
    SELECT g.subscription, g."position", g.stream_id, g.stream_version, g.error, g.attempts, $4, $5 FROM gone g)
SELECT count(*) FROM gone
