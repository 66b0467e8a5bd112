-- Gives a projection its first generation with ?2 segments at ?3, if it has none.
INSERT INTO peat_projections (name, live, segments, last, live_since) VALUES (?1, 1, ?2, 1, ?3)
ON CONFLICT (name) DO NOTHING
