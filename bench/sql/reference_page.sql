-- The next $2 events behind position $1, as a program without peat would read them.
SELECT event_type, data, global_position
FROM {schema}.events
WHERE global_position > $1
ORDER BY global_position
LIMIT $2
