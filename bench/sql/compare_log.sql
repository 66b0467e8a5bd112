-- The log of category $1 against $2 streams of $3 events each: how many events are
-- missing, and how many are too many.
SELECT greatest($2::bigint * $3 - count(*), 0), greatest(count(*) - $2::bigint * $3, 0)
FROM {schema}.streams s
CROSS JOIN LATERAL (
    SELECT DISTINCT e.event_id, e.stream_version
    FROM {schema}.events e
    WHERE e.stream_no = s.stream_no AND e.stream_version BETWEEN 1 AND s.version
) e
WHERE s.category = $1
