-- Has a new generation of projection $1 built, of $2 segments; $3 says whether the old
-- one is to be kept. A projection that has none gets its first, too. No row where one
-- is being built.
INSERT INTO {schema}.projections AS p (name, live, segments, building, building_segments, keep, last)
VALUES ($1, 1, $2, 2, $2, $3, 2)
ON CONFLICT ON CONSTRAINT projections_pkey DO UPDATE
SET building = p.last + 1, last = p.last + 1, building_segments = excluded.building_segments, keep = excluded.keep
WHERE p.building IS NULL
RETURNING live, segments, building, building_segments, keep, live_since
