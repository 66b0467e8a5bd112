-- Gives projection $1 its first generation, of $2 segments, unless it has one.
INSERT INTO {schema}.projections (name, live, segments, last)
VALUES ($1, 1, $2, 1)
ON CONFLICT ON CONSTRAINT projections_pkey DO NOTHING
