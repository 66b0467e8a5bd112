-- How many events behind ?1 up to ?2 the filter selects, counted up to ?3, and when
-- the oldest of them was recorded, 0 for none.
SELECT count(*), coalesce(min(recorded_at), 0)
FROM (SELECT e.recorded_at
      FROM peat_events e {index}
      WHERE e.global_position > ?1 AND e.global_position <= ?2 {filter}
      ORDER BY e.global_position
      LIMIT ?3)
