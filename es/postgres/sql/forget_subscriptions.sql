-- Removes the progress of the subscriptions $1 and what they have parked.
WITH parked AS (DELETE FROM {schema}.parked WHERE subscription = ANY ($1::text[]))
DELETE FROM {schema}.subscriptions WHERE name = ANY ($1::text[])
