-- Gives up the generation $2 of projection $1 that is being built; no row where it is not.
UPDATE {schema}.projections
SET building = NULL, building_segments = NULL, keep = false
WHERE name = $1 AND building = $2
RETURNING name
