-- How many events a feed has, and when the oldest of them was recorded, 0 for none.
SELECT count(*), coalesce(min(recorded_at), 0)
FROM ({feed})
