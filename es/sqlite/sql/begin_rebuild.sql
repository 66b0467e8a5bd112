-- Begins a new generation with ?2 segments, if none is being built; ?3 tells to keep
-- the old one. Changes no row where one is.
UPDATE peat_projections
SET building = last + 1, building_segments = ?2, keep = ?3, last = last + 1
WHERE name = ?1 AND building = 0
