-- The generations of a projection; no row where it has none.
SELECT live, segments, building, building_segments, keep, live_since FROM peat_projections WHERE name = ?1
