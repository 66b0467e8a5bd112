-- How many rows a window holds, and the age of the oldest in seconds. In the braces goes the
-- statement that reads the window, and bounds the count.
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(w.recorded_at)), 0)::float8
FROM ({window}) w
