-- Gives the subscriptions $1 revisions above every one that was ever given, as a
-- claim does.
UPDATE {schema}.subscriptions
SET revision = greatest(nextval('{schema}.claims') << 32, ((revision >> 32) + 1) << 32)
WHERE name = ANY ($1::text[])
