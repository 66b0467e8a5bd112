-- The log: streams, their events, and the one function that appends.
-- {schema} stands for the quoted name of the schema.

-- One row per stream. A row of version 0 is a stream that was locked before its
-- first event; it does not exist for readers.
CREATE TABLE {schema}.streams (
    stream_no  bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT streams_pkey PRIMARY KEY,
    stream_id  text COLLATE "C" NOT NULL CONSTRAINT streams_stream_id_key UNIQUE,
    category   text COLLATE "C" NOT NULL,
    version    bigint NOT NULL CONSTRAINT streams_version_check CHECK (version >= 0),
    -- The highest key (held_until, else transaction_id) of the stream's events,
    -- and the epoch that it belongs to.
    last_xid   xid8 NOT NULL,
    last_epoch int NOT NULL
) WITH (fillfactor = 70);

-- One row per event, never updated and never deleted. Positions must be drawn one
-- by one (CACHE 1): a cached range would let a later append take an earlier position.
CREATE TABLE {schema}.events (
    global_position bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) CONSTRAINT events_pkey PRIMARY KEY,
    stream_no       bigint NOT NULL,
    stream_version  bigint NOT NULL,
    transaction_id  xid8 NOT NULL,
    -- The key of the stream's previous event where that is larger than this
    -- row's transaction: a reader that goes by xids holds the event back to there.
    held_until      xid8,
    recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    event_id        uuid NOT NULL,
    stream_id       text COLLATE "C" NOT NULL,
    category        text COLLATE "C" NOT NULL,
    event_type      text COLLATE "C" NOT NULL,
    data            jsonb,
    blob            bytea,
    metadata        jsonb,
    CONSTRAINT events_stream_version_key UNIQUE (stream_no, stream_version),
    CONSTRAINT events_payload_check CHECK ((data IS NULL) <> (blob IS NULL))
);
CREATE INDEX events_category_position_idx ON {schema}.events (category, global_position);
CREATE INDEX events_transaction_id_idx ON {schema}.events (transaction_id);
CREATE INDEX events_held_until_idx ON {schema}.events (held_until) WHERE held_until IS NOT NULL;

-- The epochs of the log. A new one begins when the log moves to another cluster,
-- whose transaction ids start anew; its events lie above base.
CREATE TABLE {schema}.epochs (
    epoch     int CONSTRAINT epochs_pkey PRIMARY KEY,
    base      bigint NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO {schema}.epochs (epoch, base) VALUES (1, 0);

-- The latest snapshot of each stream: a cache, safe to truncate.
CREATE TABLE {schema}.snapshots (
    stream_id    text COLLATE "C" CONSTRAINT snapshots_pkey PRIMARY KEY,
    version      bigint NOT NULL,
    event_id     uuid NOT NULL,
    state_schema int NOT NULL,
    state        bytea NOT NULL,
    taken_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- How far each subscription has come. The revision counts the changes, so that two
-- processes under one name notice each other.
CREATE TABLE {schema}.subscriptions (
    name       text COLLATE "C" CONSTRAINT subscriptions_pkey PRIMARY KEY,
    checkpoint jsonb, -- NULL is the beginning of the log
    revision   bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- An id that a crash takes away, with all other content of unlogged tables: so a
-- checkpoint that was kept in memory only is recognised as older than the crash,
-- after which transaction ids and positions may have been given out again.
CREATE UNLOGGED TABLE {schema}.incarnation (
    only_one boolean CONSTRAINT incarnation_pkey PRIMARY KEY DEFAULT true CONSTRAINT incarnation_check CHECK (only_one),
    id       uuid NOT NULL DEFAULT gen_random_uuid()
);

-- find_append looks for an append that is in the log already: the events with
-- exactly these ids, in this order and without others in between, the first of
-- them at a version from p_first to p_last. It answers the version of the last
-- of them, or NULL.
CREATE FUNCTION {schema}.find_append(p_stream_no bigint, p_first bigint, p_last bigint, p_ids uuid[])
RETURNS bigint
LANGUAGE sql STABLE
SET enable_seqscan = off
AS $$
    SELECT f.stream_version + cardinality(p_ids) - 1
    FROM {schema}.events f
    WHERE f.stream_no = p_stream_no
      AND f.stream_version BETWEEN p_first AND p_last
      AND f.event_id = p_ids[1]
      AND p_ids = ARRAY(
          SELECT e.event_id
          FROM {schema}.events e
          WHERE e.stream_no = p_stream_no
            AND e.stream_version BETWEEN f.stream_version AND f.stream_version + cardinality(p_ids) - 1
          ORDER BY e.stream_version)
    ORDER BY f.stream_version DESC
    LIMIT 1
$$;

-- append_events is the only way into the log. It takes a batch of appends, at
-- most one per stream and none of them empty, and answers one row for each:
--
--   written    the events are in; version and position are the last one's
--   duplicate  the events were there already; version and position are the last one's
--   conflict   the stream is not as expected; version is the actual one
--
-- p_expected holds versions, or -1 for any and -2 for a stream that exists. Append i
-- owns p_counts[i] events, the first of them at p_firsts[i]; p_items says the
-- same the other way round. p_search[i] asks to look for the ids of an append
-- that has no expected version.
--
-- The order of the statements is what the feed builds on:
-- 1. The transaction has its id, and holds the rows of all streams, before any
--    position is drawn. So positions grow with versions inside a stream, and
--    from cause to effect. The rows are locked one after another in the order of
--    stream ids, so that two batches never wait for each other in a ring.
-- 2. Every statement after the lock has a snapshot taken after the lock, so that
--    it sees what the previous holder committed.
--
-- Every row is found by an index, whatever the statistics say: a plan made while
-- the tables were empty must not survive their growth. Hence no joins with
-- tables (LATERAL with LIMIT 1 is never turned into one), and an upsert of rows
-- that are known to exist in the place of an update.
CREATE FUNCTION {schema}.append_events(
    p_stream_ids text[], p_expected bigint[], p_firsts int[], p_counts int[], p_search boolean[],
    p_items int[], p_ids uuid[], p_types text[], p_data text[], p_blobs bytea[], p_metadata text[])
RETURNS TABLE (item int, outcome text, version bigint, "position" bigint)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    own         xid8 := pg_current_xact_id();
    cur_epoch   int := (SELECT max(epoch) FROM {schema}.epochs);
    repeated    int[] := '{}';
    written     int[];
    w_versions  bigint[];
    w_positions bigint[];
BEGIN
    -- Create the streams that an append may create, lock all others: the WHERE
    -- of DO UPDATE is judged when the row is locked already.
    INSERT INTO {schema}.streams AS s (stream_id, category, version, last_xid, last_epoch)
    SELECT a.stream_id, split_part(a.stream_id, '-', 1), 0, '0', cur_epoch
    FROM unnest(p_stream_ids, p_expected) a (stream_id, expected)
    WHERE a.expected IN (0, -1)
       OR (SELECT true FROM {schema}.streams x WHERE x.stream_id = a.stream_id)
    ORDER BY a.stream_id COLLATE "C"
    ON CONFLICT ON CONSTRAINT streams_stream_id_key DO UPDATE SET version = s.version WHERE false;

    IF true = ANY (p_search) THEN
        SELECT coalesce(array_agg(a.item::int), '{}') INTO repeated
        FROM unnest(p_stream_ids, p_firsts, p_counts, p_search) WITH ORDINALITY a (stream_id, first, n, search, item)
        CROSS JOIN LATERAL (SELECT x.stream_no, x.version FROM {schema}.streams x WHERE x.stream_id = a.stream_id LIMIT 1) s
        WHERE a.search
          AND {schema}.find_append(s.stream_no, s.version - greatest(100, a.n) + 1, s.version,
                                   p_ids[a.first : a.first + a.n - 1]) IS NOT NULL;
    END IF;

    WITH a AS MATERIALIZED (
        SELECT a.item, a.stream_id, a.first, a.n, s.stream_no
        FROM unnest(p_stream_ids, p_expected, p_firsts, p_counts) WITH ORDINALITY a (stream_id, expected, first, n, item)
        CROSS JOIN LATERAL (SELECT x.stream_no, x.version FROM {schema}.streams x WHERE x.stream_id = a.stream_id LIMIT 1) s
        WHERE (s.version = a.expected OR a.expected = -1 OR a.expected = -2 AND s.version > 0)
          AND a.item <> ALL (repeated)
    ), up AS (
        INSERT INTO {schema}.streams AS s (stream_no, stream_id, category, version, last_xid, last_epoch)
        OVERRIDING SYSTEM VALUE
        SELECT a.stream_no, a.stream_id, '', a.n, own, cur_epoch FROM a
        ON CONFLICT ON CONSTRAINT streams_stream_id_key DO UPDATE
        SET version = s.version + excluded.version,
            last_xid = CASE WHEN s.last_epoch = cur_epoch THEN greatest(s.last_xid, own) ELSE own END,
            last_epoch = cur_epoch
        RETURNING s.stream_no, s.stream_id, s.category, s.version, nullif(s.last_xid, own) AS held_until
    ), ins AS (
        INSERT INTO {schema}.events (stream_no, stream_version, transaction_id, held_until,
                                     event_id, stream_id, category, event_type, data, blob, metadata)
        SELECT up.stream_no, up.version - a.n + e.ord - a.first + 1, own, up.held_until,
               e.id, up.stream_id, up.category, e.type, e.data::jsonb, e.blob, e.metadata::jsonb
        FROM up
        JOIN a USING (stream_no)
        JOIN unnest(p_items, p_ids, p_types, p_data, p_blobs, p_metadata) WITH ORDINALITY e (item, id, type, data, blob, metadata, ord)
          ON e.item = a.item
        ORDER BY e.ord
        RETURNING stream_no, global_position
    )
    SELECT array_agg(a.item::int), array_agg(up.version), array_agg(p.global_position)
    INTO written, w_versions, w_positions
    FROM up
    JOIN a USING (stream_no)
    JOIN (SELECT stream_no, max(global_position) AS global_position FROM ins GROUP BY stream_no) p USING (stream_no);

    RETURN QUERY SELECT w.item, 'written', w.version, w.global_position
                 FROM unnest(written, w_versions, w_positions) w (item, version, global_position);

    IF cardinality(written) = cardinality(p_stream_ids) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT a.item::int,
           CASE WHEN e.stream_version IS NULL THEN 'conflict' ELSE 'duplicate' END,
           coalesce(e.stream_version, s.version, 0),
           coalesce(e.global_position, 0)
    FROM unnest(p_stream_ids, p_expected, p_firsts, p_counts) WITH ORDINALITY a (stream_id, expected, first, n, item)
    LEFT JOIN LATERAL (SELECT x.stream_no, x.version FROM {schema}.streams x WHERE x.stream_id = a.stream_id LIMIT 1) s ON true
    LEFT JOIN LATERAL (
        SELECT x.stream_version, x.global_position
        FROM {schema}.events x
        WHERE x.stream_no = s.stream_no AND x.stream_version = CASE
            WHEN a.expected >= 0 THEN
                {schema}.find_append(s.stream_no, a.expected + 1, a.expected + 1, p_ids[a.first : a.first + a.n - 1])
            WHEN a.item = ANY (repeated) THEN
                {schema}.find_append(s.stream_no, s.version - greatest(100, a.n) + 1, s.version, p_ids[a.first : a.first + a.n - 1])
            END
        LIMIT 1) e ON true
    WHERE a.item <> ALL (coalesce(written, '{}'));
END
$$;

-- lock_stream locks a stream, creating its row where there is none yet, until
-- the transaction ends, and answers its version.
CREATE FUNCTION {schema}.lock_stream(p_stream_id text) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
BEGIN
    INSERT INTO {schema}.streams AS s (stream_id, category, version, last_xid, last_epoch)
    VALUES (p_stream_id, split_part(p_stream_id, '-', 1), 0, '0', (SELECT max(epoch) FROM {schema}.epochs))
    ON CONFLICT ON CONSTRAINT streams_stream_id_key DO UPDATE SET version = s.version WHERE false;
    -- A statement of its own: its snapshot is newer than the lock.
    RETURN (SELECT version FROM {schema}.streams WHERE stream_id = p_stream_id);
END
$$;
