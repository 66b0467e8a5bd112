-- A single event; see the function. One row, like that of a batch.
SELECT 1, outcome, version, "position" FROM {schema}.append_event($1, $2, $3, $4, $5, $6, $7, $8)
