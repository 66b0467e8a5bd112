-- Whether the file has a record of applied migrations.
SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'peat_migrations')
