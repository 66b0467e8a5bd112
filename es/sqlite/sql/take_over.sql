-- Makes the building generation ?2 the live one at ?3. Changes no row where that is
-- not being built.
UPDATE peat_projections
SET live = building, segments = building_segments, building = 0, building_segments = 0, keep = 0, live_since = ?3
WHERE name = ?1 AND building = ?2 AND building > 0
