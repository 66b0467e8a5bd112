-- Adds an event of $2 cents to stream $1.
INSERT INTO {schema}.balances AS b (stream, events, cents)
VALUES ($1, 1, $2)
ON CONFLICT ON CONSTRAINT balances_pkey DO UPDATE
SET events = b.events + 1, cents = b.cents + excluded.cents
