-- What is at or below the position of the last frontier, and, by its transaction
-- ids, may have become visible since.
(WITH e AS MATERIALIZED (SELECT * FROM {schema}.events e WHERE {ids})
 SELECT e.stream_id, e.stream_version, e.global_position, e.event_id, e.event_type, e.data, e.blob, e.metadata, e.recorded_at
 FROM e
 WHERE e.global_position > $1 AND e.global_position > {base} AND e.global_position <= $2
   AND {visible} {filter}
 ORDER BY e.global_position LIMIT $4)
