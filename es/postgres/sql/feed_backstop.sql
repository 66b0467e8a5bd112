-- The first of the rows ($1 streams, $2 versions) of whose stream a later version
-- was delivered: was visible at the last frontier, or is in the part of the window
-- that is delivered.
SELECT r.stream_id, r.version, l.stream_version
FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY r (stream_id, version, n)
JOIN {schema}.streams s ON s.stream_id = r.stream_id
CROSS JOIN LATERAL (
    SELECT e.stream_version
    FROM {schema}.events e
    WHERE e.stream_no = s.stream_no AND e.stream_version > r.version
      AND ({delivered})
    ORDER BY e.stream_version DESC
    LIMIT 1) l
ORDER BY r.n
LIMIT 1
