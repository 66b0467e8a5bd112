-- Begins a new epoch after the newest event, and sees to it that positions go on there.
WITH base AS (SELECT coalesce(max(global_position), 0) AS position FROM {schema}.events),
     epoch AS (
         INSERT INTO {schema}.epochs (epoch, base)
         SELECT max(e.epoch) + 1, b.position FROM {schema}.epochs e, base b GROUP BY b.position),
     last AS (
         SELECT greatest(b.position, pg_sequence_last_value('{schema}.events_global_position_seq'::regclass)) AS position
         FROM base b)
SELECT setval('{schema}.events_global_position_seq', greatest(position, 1), position > 0)
FROM last
