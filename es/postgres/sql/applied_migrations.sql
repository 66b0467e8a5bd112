-- What was applied to the schema, oldest first.
SELECT version, name, checksum FROM {schema}.migrations ORDER BY version
