-- The heads of streams, for commands by hand.
CREATE TABLE {schema}.heads (
    stream  text CONSTRAINT heads_pkey PRIMARY KEY,
    version bigint NOT NULL
)
