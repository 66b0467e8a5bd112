-- What the projections keep: a row per stream.
CREATE TABLE {schema}.balances (
    stream int CONSTRAINT balances_pkey PRIMARY KEY,
    events bigint NOT NULL,
    cents  bigint NOT NULL
)
