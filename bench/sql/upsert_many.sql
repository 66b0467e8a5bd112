-- Adds $2 events of $3 cents together to streams $1, of which none is there twice.
INSERT INTO {schema}.balances AS b (stream, events, cents)
SELECT n.stream, n.events, n.cents
FROM unnest($1::int[], $2::bigint[], $3::bigint[]) n (stream, events, cents)
ON CONFLICT ON CONSTRAINT balances_pkey DO UPDATE
SET events = b.events + excluded.events, cents = b.cents + excluded.cents
