-- What is above the position of the last frontier.
(SELECT e.stream_id, e.stream_version, e.global_position, e.event_id, e.event_type, e.data, e.blob, e.metadata, e.recorded_at
 FROM {schema}.events e
 WHERE e.global_position > greatest($1::bigint, $2::bigint) AND e.global_position <= $3::bigint
   AND {visible} {filter}
 ORDER BY e.global_position LIMIT $4)
