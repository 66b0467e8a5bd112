-- A batch of appends; see the function. One row per append.
SELECT item, outcome, version, "position"
FROM {schema}.append_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
