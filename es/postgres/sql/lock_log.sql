-- Waits for all appends under way and keeps others out until the transaction ends.
LOCK TABLE {schema}.streams, {schema}.events IN SHARE ROW EXCLUSIVE MODE
