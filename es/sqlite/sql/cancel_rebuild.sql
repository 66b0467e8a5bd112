-- Gives up the building generation ?2. Changes no row where that is not being built.
UPDATE peat_projections
SET building = 0, building_segments = 0, keep = 0
WHERE name = ?1 AND building = ?2 AND building > 0
