-- The number of the stream of the event at a position; no row where there is none.
SELECT stream_no FROM peat_events WHERE global_position = ?1
