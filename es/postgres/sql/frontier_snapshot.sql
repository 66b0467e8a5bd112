-- The transactions that have ended: second statement of a frontier.
SELECT pg_current_snapshot()::text, pg_is_in_recovery()
