-- The event at position $1, and the checkpoint of the reader that it belongs to: one of
-- the subscriptions $2, into which the streams are divided as by a feed's filter. No row
-- where there is no event.
SELECT e.transaction_id::text, coalesce(e.held_until, '0')::text, coalesce(s.checkpoint::text, '')
FROM {schema}.events e
LEFT JOIN {schema}.subscriptions s
       ON s.name = ($2::text[])[1 + e.stream_no % cardinality($2::text[])]
WHERE e.global_position = $1
