-- Makes the subscriptions $1 stand still at their next save, until the transaction ends.
SELECT name FROM {schema}.subscriptions WHERE name = ANY ($1::text[]) ORDER BY name FOR UPDATE
