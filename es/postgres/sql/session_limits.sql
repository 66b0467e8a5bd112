-- Has the server end a session that is not heard of for $1 milliseconds, which frees its
-- leases, and a statement of it after $2. Before PostgreSQL 14 there is no such setting,
-- and the first is left out. Answers the session's process.
SELECT pg_backend_pid(), count(set_config(s.name, CASE s.name WHEN 'statement_timeout' THEN $2 ELSE $1 END, false))
FROM pg_settings s
WHERE s.name IN ('idle_session_timeout', 'statement_timeout')
