-- What the log of the category $1 lacks, has too often and in the wrong place, where
-- the streams named by the numbers $2 have the versions $3: the payload names both.
WITH appended AS (
    SELECT stream, version FROM unnest($2::int[], $3::bigint[]) a (stream, version)
), stored AS (
    SELECT split_part(stream_id, '-', 2)::int AS stream, stream_version AS version, (data ->> 'seq')::bigint AS seq,
           (data ->> 'stream')::int AS named
    FROM {schema}.events
    WHERE category = $1
), counted AS (
    SELECT stream, count(DISTINCT seq) AS n, count(*) - count(DISTINCT seq) AS again,
           count(*) FILTER (WHERE seq <> version OR named <> stream) AS misplaced
    FROM stored
    GROUP BY stream
)
SELECT coalesce(sum(greatest(a.version - coalesce(c.n, 0), 0)), 0)::int,
       coalesce(sum(greatest(coalesce(c.n, 0) - coalesce(a.version, 0), 0) + coalesce(c.again, 0)), 0)::int,
       coalesce(sum(c.misplaced), 0)::int
FROM appended a
FULL JOIN counted c USING (stream)
