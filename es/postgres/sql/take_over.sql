-- Makes the generation of projection $1 that is being built the live one.
UPDATE {schema}.projections
SET live = building, segments = building_segments, building = NULL, building_segments = NULL,
    keep = false, live_since = clock_timestamp()
WHERE name = $1
