-- Begins a new epoch behind the newest event, and sees to it that positions go on there.
WITH base AS (SELECT coalesce(max(global_position), 0) AS position FROM {schema}.events),
     epoch AS (
         INSERT INTO {schema}.epochs (epoch, base)
         SELECT max(e.epoch) + 1, b.position FROM {schema}.epochs e, base b GROUP BY b.position)
SELECT setval('{schema}.events_global_position_seq', greatest(s.last_value, b.position, 1), s.is_called OR b.position > 0)
FROM base b, {schema}.events_global_position_seq s
