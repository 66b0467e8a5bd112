-- The generations of a projection; no row where it has none.
SELECT live, segments, coalesce(building, 0), coalesce(building_segments, 0), keep, live_since
FROM {schema}.projections
WHERE name = $1
