-- Keeps that the reference $1 has come to position $2.
INSERT INTO {schema}.reference AS r (name, "position")
VALUES ($1, $2)
ON CONFLICT ON CONSTRAINT reference_pkey DO UPDATE
SET "position" = excluded."position"
