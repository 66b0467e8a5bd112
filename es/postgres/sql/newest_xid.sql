-- The highest transaction id that the log knows of the current epoch: of the last
-- 1,000 events, and of the frontiers in stored checkpoints. NULL for none.
WITH current AS (SELECT epoch, base FROM {schema}.epochs ORDER BY epoch DESC LIMIT 1)
SELECT x.xid::text
FROM (
    (SELECT greatest(e.transaction_id, e.held_until) AS xid
     FROM (SELECT transaction_id, held_until, global_position FROM {schema}.events ORDER BY global_position DESC LIMIT 1000) e, current
     WHERE e.global_position > current.base)
    UNION ALL
    SELECT (f.frontier ->> 'next')::xid8
    FROM {schema}.subscriptions s, current,
         LATERAL (VALUES (s.checkpoint -> 'from'), (s.checkpoint -> 'to')) f (frontier)
    WHERE (f.frontier ->> 'epoch')::int = current.epoch
) x
ORDER BY x.xid DESC
LIMIT 1
