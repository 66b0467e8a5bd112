-- The version after a command.
UPDATE {schema}.heads SET version = $2 WHERE stream = $1
