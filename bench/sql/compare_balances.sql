-- The balances against the log: how many events were left out, how many
-- counted twice, and how many rows have the right events and other cents.
SELECT coalesce(sum(greatest(coalesce(l.events, 0) - coalesce(b.events, 0), 0)), 0)::int,
       coalesce(sum(greatest(coalesce(b.events, 0) - coalesce(l.events, 0), 0)), 0)::int,
       (count(*) FILTER (WHERE l.events = b.events AND l.cents <> b.cents))::int
FROM (SELECT (e.data->>'stream')::int AS stream, count(*) AS events, sum((e.data->>'cents')::bigint) AS cents
      FROM {schema}.events e GROUP BY 1) l
FULL JOIN {schema}.balances b USING (stream)
