-- Delivery: who works on each subscription, what was set aside, and the lives of
-- projections.

-- The holder is who claimed the subscription last, for people to read; the error is
-- why its reader stopped, '' while it does not.
ALTER TABLE peat_subscriptions ADD COLUMN holder TEXT NOT NULL DEFAULT '';
ALTER TABLE peat_subscriptions ADD COLUMN claimed_at INTEGER NOT NULL DEFAULT 0; -- 0 is never
ALTER TABLE peat_subscriptions ADD COLUMN error TEXT NOT NULL DEFAULT '';

-- The number of the last claim of any subscription, in the one row that there is. A
-- claim makes its number the upper half of the revision, so a revision that was given
-- once is below every later one, also when the subscription's row is deleted.
CREATE TABLE peat_claims (
    only   INTEGER CONSTRAINT peat_claims_pkey PRIMARY KEY CONSTRAINT peat_claims_only_check CHECK (only = 1),
    number INTEGER NOT NULL
) STRICT;
INSERT INTO peat_claims (only, number) VALUES (1, 0);

-- The events that each subscription has set aside.
CREATE TABLE peat_parked (
    subscription   TEXT NOT NULL,
    position       INTEGER NOT NULL,
    stream_id      TEXT NOT NULL,
    stream_version INTEGER NOT NULL,
    error          TEXT NOT NULL, -- '' for one that waits behind another
    attempts       INTEGER NOT NULL,
    parked_at      INTEGER NOT NULL,
    redrive        INTEGER NOT NULL DEFAULT 0 CONSTRAINT peat_parked_redrive_check CHECK (redrive IN (0, 1)),
    CONSTRAINT peat_parked_pkey PRIMARY KEY (subscription, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX peat_parked_stream_idx ON peat_parked (subscription, stream_id, stream_version);

-- The parked events that somebody gave up, never deleted. After a reset the same
-- event may be given up again.
CREATE TABLE peat_discarded (
    discard_no     INTEGER CONSTRAINT peat_discarded_pkey PRIMARY KEY,
    subscription   TEXT NOT NULL,
    position       INTEGER NOT NULL,
    stream_id      TEXT NOT NULL,
    stream_version INTEGER NOT NULL,
    error          TEXT NOT NULL,
    attempts       INTEGER NOT NULL,
    discarded_by   TEXT NOT NULL,
    reason         TEXT NOT NULL,
    discarded_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX peat_discarded_position_idx ON peat_discarded (subscription, position);

-- The generations of each projection. The last one is the highest number that was
-- ever given: no number is given twice.
CREATE TABLE peat_projections (
    name              TEXT NOT NULL CONSTRAINT peat_projections_pkey PRIMARY KEY,
    live              INTEGER NOT NULL,
    segments          INTEGER NOT NULL,
    building          INTEGER NOT NULL DEFAULT 0, -- 0 is none
    building_segments INTEGER NOT NULL DEFAULT 0,
    keep              INTEGER NOT NULL DEFAULT 0,
    last              INTEGER NOT NULL,
    live_since        INTEGER NOT NULL
) STRICT;
