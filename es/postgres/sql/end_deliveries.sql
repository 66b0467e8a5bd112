-- Ends the transactions of other sessions in which deliveries are under way whose lock is
-- $1, as far as this role may. They belong to readers that are overtaken, so that
-- nothing of them could commit; but one whose process stands still keeps its locks.
SELECT count(pg_terminate_backend(l.pid))
FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid AND a.usename = current_user
WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.pid <> pg_backend_pid()
  AND (l.classid::bigint << 32) | l.objid::bigint = $1
  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
