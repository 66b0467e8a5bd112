-- Lets the sessions that listen on channel $1 know; $2 says what.
SELECT pg_notify($1, $2)
