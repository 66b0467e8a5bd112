-- The sessions of application $1 that are set up.
SELECT count(*)
FROM pg_stat_activity
WHERE application_name = $1 AND state = 'idle' AND query <> '' AND query NOT LIKE '%set_config%'
