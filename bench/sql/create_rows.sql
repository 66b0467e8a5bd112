-- The table of the bare inserts: what an event store needs at the least, a row with
-- an identity and a version that nobody else can take.
CREATE TABLE {schema}.rows (
    id      bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT rows_pkey PRIMARY KEY,
    stream  text NOT NULL,
    version bigint NOT NULL,
    type    text NOT NULL,
    data    jsonb NOT NULL,
    CONSTRAINT rows_stream_version_key UNIQUE (stream, version)
)
