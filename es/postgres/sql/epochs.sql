-- The epochs of the log, oldest first.
SELECT epoch, base FROM {schema}.epochs ORDER BY epoch
