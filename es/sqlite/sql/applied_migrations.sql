-- What was applied to the file, oldest first.
SELECT version, name, checksum FROM peat_migrations ORDER BY version
