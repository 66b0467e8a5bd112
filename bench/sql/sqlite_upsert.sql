-- Adds an event of ?2 cents to stream ?1.
INSERT INTO balances (stream, events, cents) VALUES (?1, 1, ?2)
ON CONFLICT (stream) DO UPDATE SET events = events + 1, cents = cents + excluded.cents
