-- What the projection keeps: a row per stream.
CREATE TABLE balances (
    stream INTEGER PRIMARY KEY,
    events INTEGER NOT NULL,
    cents  INTEGER NOT NULL
) STRICT
