-- Keeps why the reader of subscription $1 that knows revision $2 stopped.
UPDATE {schema}.subscriptions SET failure = $3 WHERE name = $1 AND revision = $2
