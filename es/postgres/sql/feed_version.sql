-- The last version of a stream ({stream}, 0 if there is none) whose position is not
-- above what is delivered ($1, $2). Positions grow with versions, so it is bisected
-- in steps of one row each by the index. After a hole made by hand it is too low, which
-- only reads more.
WITH RECURSIVE bisect (stream_no, low, high) AS (
    SELECT s.stream_no, 0::bigint, s.version FROM {schema}.streams s WHERE s.stream_id = {stream}
    UNION ALL
    SELECT b.stream_no, CASE WHEN x.below THEN m.middle ELSE b.low END, CASE WHEN x.below THEN b.high ELSE m.middle - 1 END
    FROM bisect b
    CROSS JOIN LATERAL (SELECT (b.low + b.high + 1) / 2 AS middle) m
    CROSS JOIN LATERAL (
        SELECT coalesce((SELECT e.global_position <= greatest($1::bigint, $2::bigint) FROM {schema}.events e
                         WHERE e.stream_no = b.stream_no AND e.stream_version = m.middle), false) AS below) x
    WHERE b.low < b.high
)
SELECT b.low FROM bisect b WHERE b.low = b.high
