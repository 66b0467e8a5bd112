-- Locks a stream until the transaction ends and answers its last version.
SELECT {schema}.lock_stream($1)
