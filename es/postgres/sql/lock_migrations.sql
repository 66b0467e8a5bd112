-- One migration at a time per schema, until the transaction ends. $1 is the schema's name.
SELECT pg_advisory_xact_lock(hashtextextended('peat migrations of ' || $1, 0))
