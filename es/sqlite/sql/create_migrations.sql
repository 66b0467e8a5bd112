-- The record of applied migrations.
CREATE TABLE IF NOT EXISTS peat_migrations (
    version    INTEGER CONSTRAINT peat_migrations_pkey PRIMARY KEY,
    name       TEXT NOT NULL,
    checksum   TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT
