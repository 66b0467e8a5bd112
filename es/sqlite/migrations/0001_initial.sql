-- The log: streams and their events. The tables have a prefix because the file is
-- also the home of the application's own tables.

-- One row per stream that has events.
CREATE TABLE peat_streams (
    stream_no INTEGER CONSTRAINT peat_streams_pkey PRIMARY KEY,
    stream_id TEXT NOT NULL CONSTRAINT peat_streams_stream_id_key UNIQUE,
    category  TEXT NOT NULL,
    version   INTEGER NOT NULL CONSTRAINT peat_streams_version_check CHECK (version >= 1)
) STRICT;

-- One row per event, never updated and never deleted. AUTOINCREMENT keeps a
-- position from being given again should the newest event be deleted by hand.
CREATE TABLE peat_events (
    global_position INTEGER CONSTRAINT peat_events_pkey PRIMARY KEY AUTOINCREMENT,
    stream_no       INTEGER NOT NULL CONSTRAINT peat_events_stream_no_fkey REFERENCES peat_streams (stream_no),
    stream_version  INTEGER NOT NULL,
    category        TEXT NOT NULL,
    recorded_at     INTEGER NOT NULL, -- microseconds since 1970, UTC
    event_id        BLOB NOT NULL CONSTRAINT peat_events_event_id_check CHECK (length(event_id) = 16),
    event_type      TEXT NOT NULL,
    data            TEXT, -- JSON as it was appended: numbers keep all their digits
    blob            BLOB,
    metadata        TEXT,
    CONSTRAINT peat_events_stream_version_key UNIQUE (stream_no, stream_version),
    CONSTRAINT peat_events_payload_check CHECK ((data IS NULL) <> (blob IS NULL))
) STRICT;
-- Its entries end with the rowid, which is the position: a category reads in order.
CREATE INDEX peat_events_category_idx ON peat_events (category);

-- The latest snapshot of each stream: a cache, safe to empty.
CREATE TABLE peat_snapshots (
    stream_id    TEXT NOT NULL CONSTRAINT peat_snapshots_pkey PRIMARY KEY,
    version      INTEGER NOT NULL,
    event_id     BLOB NOT NULL,
    state_schema INTEGER NOT NULL,
    state        BLOB NOT NULL,
    taken_at     INTEGER NOT NULL
) STRICT;

-- How far each subscription has come. The revision counts the changes, so that two
-- holders of one name notice each other.
CREATE TABLE peat_subscriptions (
    name       TEXT NOT NULL CONSTRAINT peat_subscriptions_pkey PRIMARY KEY,
    checkpoint TEXT, -- NULL is the beginning of the log
    revision   INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
