-- A bare insert of one row.
INSERT INTO {schema}.rows (stream, version, type, data) VALUES ($1, $2, $3, $4)
