-- The version of a stream, which nobody else changes then.
SELECT version FROM {schema}.heads WHERE stream = $1 FOR UPDATE
