-- The transactions of the whole cluster that have an id and are open, oldest first.
SELECT pid, prepared, usename, datname, application_name, query, extract(epoch FROM clock_timestamp() - since)::float8
FROM (
    SELECT pid, '' AS prepared, coalesce(usename, '') AS usename, coalesce(datname, '') AS datname,
           application_name, query, xact_start AS since, age(backend_xid) AS age
    FROM pg_stat_activity
    WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
    UNION ALL
    SELECT 0, gid, owner, database, '', '', prepared, age(transaction)
    FROM pg_prepared_xacts
) t
ORDER BY age DESC
