-- The record of applied migrations.
CREATE TABLE IF NOT EXISTS {schema}.migrations (
    version    int CONSTRAINT migrations_pkey PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
