-- The same for one stream ({stream}), in the order of versions, which is that of
-- positions. It is read in pieces, from the version behind what is delivered on, because
-- the planner, which does not know how long the stream is, may collect and sort all of a
-- piece before the first row is out. OFFSET 0 keeps it from joining the pieces together.
(SELECT e.stream_id, e.stream_version, e.global_position, e.event_id, e.event_type, e.data, e.blob, e.metadata, e.recorded_at
 FROM (SELECT * FROM generate_series(1 + ({delivered}), (SELECT s.version FROM {schema}.streams s WHERE s.stream_id = {stream}), greatest($4::bigint, 100)) g (first)
       ORDER BY g.first) piece
 CROSS JOIN LATERAL (
     SELECT * FROM {schema}.events e
     WHERE e.stream_no = (SELECT s.stream_no FROM {schema}.streams s WHERE s.stream_id = {stream})
       AND e.stream_version >= piece.first AND e.stream_version < piece.first + greatest($4::bigint, 100)
     OFFSET 0) e
 WHERE e.global_position > greatest($1::bigint, $2::bigint) AND e.global_position <= $3::bigint
   AND {visible} {filter}
 ORDER BY piece.first, e.stream_version LIMIT $4)
