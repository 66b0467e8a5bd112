-- The epochs of the log, oldest first, and the incarnation of the server, '' right
-- after a crash.
SELECT e.epoch, e.base, coalesce((SELECT i.id::text FROM {schema}.incarnation i), '')
FROM {schema}.epochs e
ORDER BY e.epoch
