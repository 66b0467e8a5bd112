-- The heads of $1 streams.
INSERT INTO {schema}.heads SELECT 'bench-' || n, 0 FROM generate_series(0, $1::int - 1) n
