-- The checkpoints of the subscriptions $1, in their order; NULL for none.
SELECT s.checkpoint::text
FROM unnest($1::text[]) WITH ORDINALITY n (name, ord)
LEFT JOIN {schema}.subscriptions s ON s.name = n.name
ORDER BY n.ord
