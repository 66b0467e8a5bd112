-- The first $3 events of stream $2 that subscription $1 has parked, in order.
SELECT e.stream_id, e.stream_version, e.global_position, e.event_id, e.event_type, e.data, e.blob, e.metadata, e.recorded_at
FROM (SELECT p."position" FROM {schema}.parked p
      WHERE p.subscription = $1 AND p.stream_id = $2
      ORDER BY p."position" LIMIT $3) p
JOIN {schema}.events e ON e.global_position = p."position"
ORDER BY e.global_position
