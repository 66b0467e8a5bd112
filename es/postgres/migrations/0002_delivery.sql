-- Delivery: who reads for a subscription, what it has set aside, and the generations
-- of projections.
-- {schema} stands for the quoted name of the schema.

-- The revision of a claim has the next number of this sequence in its upper half.
-- A sequence forgets nothing: neither a rollback nor a deleted row gives a number
-- out a second time.
CREATE SEQUENCE {schema}.claims AS int;

ALTER TABLE {schema}.subscriptions
    ADD COLUMN holder     text,
    ADD COLUMN claimed_at timestamptz,
    -- Why the reader stopped; progress and claims remove it.
    ADD COLUMN failure    text;

-- The events that readers have set aside. Those with redrive are to be delivered again.
CREATE TABLE {schema}.parked (
    subscription   text COLLATE "C" NOT NULL,
    "position"     bigint NOT NULL,
    stream_id      text COLLATE "C" NOT NULL,
    stream_version bigint NOT NULL,
    error          text NOT NULL, -- '' waits behind another one of its stream
    attempts       int NOT NULL,
    parked_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    redrive        boolean NOT NULL DEFAULT false,
    CONSTRAINT parked_pkey PRIMARY KEY (subscription, "position")
);
CREATE INDEX parked_stream_idx ON {schema}.parked (subscription, stream_id, "position");

-- The parked events that somebody gave up, and who and why: a record, never changed.
CREATE TABLE {schema}.discarded (
    discard_no     bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT discarded_pkey PRIMARY KEY,
    subscription   text COLLATE "C" NOT NULL,
    "position"     bigint NOT NULL,
    stream_id      text COLLATE "C" NOT NULL,
    stream_version bigint NOT NULL,
    error          text NOT NULL,
    attempts       int NOT NULL,
    discarded_by   text NOT NULL,
    reason         text NOT NULL,
    discarded_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX discarded_subscription_idx ON {schema}.discarded (subscription, "position");

-- The generations of projections. last is the highest number ever given, so that
-- none is given twice.
CREATE TABLE {schema}.projections (
    name              text COLLATE "C" CONSTRAINT projections_pkey PRIMARY KEY,
    live              int NOT NULL,
    segments          int NOT NULL CONSTRAINT projections_segments_check CHECK (segments > 0),
    building          int,
    building_segments int CONSTRAINT projections_building_segments_check CHECK (building_segments > 0),
    keep              boolean NOT NULL DEFAULT false,
    last              int NOT NULL,
    live_since        timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT projections_building_check CHECK ((building IS NULL) = (building_segments IS NULL))
);

-- save_progress stores the progress of a subscription whose revision is p_revision,
-- 0 for one that has no row. It raises PEA01 where the revision is another one, and
-- PEA02 where an event that is to be taken back is not parked, and PEA03 where the
-- checkpoint comes from before a crash of the server: what it speaks of may not have
-- happened. All of them undo the transaction that it is in, or the pipeline.
--
-- The parked events come as one array per column, NULL for none, and p_unpark holds
-- positions.
CREATE FUNCTION {schema}.save_progress(
    p_name text, p_revision bigint, p_checkpoint text, p_incarnation text,
    p_positions bigint[], p_stream_ids text[], p_versions bigint[], p_errors text[], p_attempts int[],
    p_unpark bigint[])
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    unparked int;
BEGIN
    IF p_incarnation <> '' AND NOT EXISTS (SELECT FROM {schema}.incarnation i WHERE i.id::text = p_incarnation) THEN
        RAISE EXCEPTION 'the checkpoint of subscription "%" was read before a crash', p_name USING ERRCODE = 'PEA03';
    END IF;
    IF p_revision = 0 THEN
        INSERT INTO {schema}.subscriptions (name, checkpoint, revision)
        VALUES (p_name, p_checkpoint::jsonb, 1)
        ON CONFLICT ON CONSTRAINT subscriptions_pkey DO NOTHING;
    ELSE
        UPDATE {schema}.subscriptions
        SET checkpoint = p_checkpoint::jsonb, revision = revision + 1, updated_at = clock_timestamp(), failure = NULL
        WHERE name = p_name AND revision = p_revision;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the checkpoint of subscription "%" is not of revision %', p_name, p_revision USING ERRCODE = 'PEA01';
    END IF;
    IF cardinality(p_unpark) > 0 THEN
        DELETE FROM {schema}.parked WHERE subscription = p_name AND "position" = ANY (p_unpark);
        GET DIAGNOSTICS unparked = ROW_COUNT;
        IF unparked < cardinality(p_unpark) THEN
            RAISE EXCEPTION 'an event of subscription "%" is not parked any more', p_name USING ERRCODE = 'PEA02';
        END IF;
    END IF;
    IF cardinality(p_positions) > 0 THEN
        INSERT INTO {schema}.parked (subscription, "position", stream_id, stream_version, error, attempts)
        SELECT p_name, p."position", p.stream_id, p.stream_version, p.error, p.attempts
        FROM unnest(p_positions, p_stream_ids, p_versions, p_errors, p_attempts)
             p ("position", stream_id, stream_version, error, attempts)
        ON CONFLICT ON CONSTRAINT parked_pkey DO UPDATE
        SET error = excluded.error, attempts = excluded.attempts, redrive = false;
    END IF;
END
$$;

-- lease_key is the advisory lock that stands for a lease of this schema.
CREATE FUNCTION {schema}.lease_key(p_schema text, p_name text) RETURNS bigint
LANGUAGE sql IMMUTABLE
AS $$
    SELECT hashtextextended(p_schema || ' lease ' || p_name, 0)
$$;

-- held_leases are the advisory locks of this database that are held, with their keys
-- put together again: pg_locks shows a key in two halves.
CREATE VIEW {schema}.held_leases AS
    SELECT (l.classid::bigint << 32) | l.objid::bigint AS key, l.pid
    FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
