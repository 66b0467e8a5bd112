-- An event id is in the log once, and a stream knows the id of its last event.
-- {schema} stands for the quoted name of the schema.

-- By it a repeated append or command is found, however long ago it landed.
CREATE UNIQUE INDEX events_event_id_key ON {schema}.events (event_id);

-- What a writer has read can be compared with it: after a server has lost commits, the same
-- version can be another event.
ALTER TABLE {schema}.streams ADD COLUMN last_event uuid;
UPDATE {schema}.streams s
SET last_event = e.event_id
FROM {schema}.events e
WHERE e.stream_no = s.stream_no AND e.stream_version = s.version;

-- A fingerprint of the state's type.
ALTER TABLE {schema}.snapshots ADD COLUMN state_form text NOT NULL DEFAULT '';

-- find_append looks for an append that is in the log already: the events with exactly
-- these ids, in this order and without others in between, in one stream. It answers the
-- version of the last of them, or NULL.
DROP FUNCTION {schema}.append_event;
DROP FUNCTION {schema}.append_events;
DROP FUNCTION {schema}.find_append;
CREATE FUNCTION {schema}.find_append(p_stream_no bigint, p_ids uuid[])
RETURNS bigint
LANGUAGE sql STABLE
SET enable_seqscan = off
AS $$
    SELECT f.stream_version + cardinality(p_ids) - 1
    FROM {schema}.events f
    WHERE f.event_id = p_ids[1]
      AND f.stream_no = p_stream_no
      AND p_ids = ARRAY(
          SELECT e.event_id
          FROM {schema}.events e
          WHERE e.stream_no = p_stream_no
            AND e.stream_version BETWEEN f.stream_version AND f.stream_version + cardinality(p_ids) - 1
          ORDER BY e.stream_version)
$$;

-- append_events is the only way into the log. It takes a batch of appends, at most one per
-- stream and none of them empty, and answers one row for each:
--
--   written    the events are in; version and position are the last one's
--   duplicate  the events were there already; version and position are the last one's
--   conflict   the stream is not as expected; version is the actual one
--
-- p_expected holds versions, or -1 for any and -2 for a stream that exists; p_last the id of
-- the event at that version where the writer has read it, else NULL. Append i owns
-- p_counts[i] events, the first of them at p_firsts[i]. p_search[i] asks to look for the
-- ids of an append without an expected version in its stream, before it is written. Ids
-- that belong to other events violate events_event_id_key.
--
-- The order of the statements is what the feed builds on:
-- 1. The transaction has its id, and the rows of a stream are locked, before any position
--    of that stream is drawn. So positions grow with versions inside a stream, and from
--    cause to effect. The rows are locked one after another in the order of stream ids, so
--    that two batches never wait for each other in a ring.
-- 2. Whatever has to see what the previous holder of a stream committed is either the
--    judgement of ON CONFLICT, which is about the newest row, or a statement that begins
--    after the lock. That the last event is compared before the lock does no harm: the
--    writer has read it, so the statement sees it, and if the row has changed since, the
--    version has as well.
--
-- Every row is found by an index, whatever the statistics say: a plan made while the tables
-- were empty must not survive their growth. Hence no joins with tables (LATERAL with LIMIT 1
-- is never turned into one), and an upsert of rows that are known to exist in the place of an
-- update.
--
-- Where all appends name a version, one statement compares, advances and writes. Its upsert
-- cannot carry the expected version and the number of events beside each other, as a row
-- that it inserts must be a true one. So what expects events has '' for a category, the
-- expected version for a version and the number of events for an epoch: such a row meets
-- another one for certain and is never inserted.
--
-- A stream has its number from the sequence when it is new, and only then: an upsert that
-- drew one for every append would leave gaps with a pattern, such as none but even numbers,
-- and the segments of a subscription, which are the numbers modulo their count, would be of
-- very different size. A row that meets another one has 0.
--
-- A batch of several waits for no lock longer than 200 ms: then it fails with
-- lock_not_available, so that it does not make everybody wait for one stream. Their callers
-- repeat the appends one by one.
CREATE FUNCTION {schema}.append_events(
    p_stream_ids text[], p_expected bigint[], p_last uuid[], p_firsts int[], p_counts int[], p_search boolean[],
    p_ids uuid[], p_types text[], p_data text[], p_blobs bytea[], p_metadata text[])
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
    exact       bigint[] := p_expected;
    written     int[];
    w_versions  bigint[];
    w_positions bigint[];
BEGIN
    IF cardinality(p_stream_ids) > 1 THEN
        PERFORM set_config('lock_timeout', '200ms', true);
    END IF;

    IF 0 > ANY (p_expected) THEN
        -- Create the streams that an append may create, lock all others: the WHERE
        -- of DO UPDATE is judged when the row is locked already.
        INSERT INTO {schema}.streams AS s (stream_no, stream_id, category, version, last_xid, last_epoch)
        OVERRIDING SYSTEM VALUE
        SELECT CASE WHEN (SELECT true FROM {schema}.streams x WHERE x.stream_id = a.stream_id) THEN 0
                    ELSE nextval('{schema}.streams_stream_no_seq') END,
               a.stream_id, split_part(a.stream_id, '-', 1), 0, '0', cur_epoch
        FROM unnest(p_stream_ids, p_expected) a (stream_id, expected)
        WHERE a.expected IN (0, -1)
           OR (SELECT true FROM {schema}.streams x WHERE x.stream_id = a.stream_id)
        ORDER BY a.stream_id COLLATE "C"
        ON CONFLICT ON CONSTRAINT streams_stream_id_key DO UPDATE SET version = s.version WHERE false;

        IF true = ANY (p_search) THEN
            SELECT coalesce(array_agg(a.item::int), '{}') INTO repeated
            FROM unnest(p_stream_ids, p_firsts, p_counts, p_search) WITH ORDINALITY a (stream_id, first, n, search, item)
            CROSS JOIN LATERAL (SELECT x.stream_no FROM {schema}.streams x WHERE x.stream_id = a.stream_id LIMIT 1) s
            WHERE a.search
              AND {schema}.find_append(s.stream_no, p_ids[a.first : a.first + a.n - 1]) IS NOT NULL;
        END IF;

        -- What is to be written expects the version that the stream has, what is not
        -- to be written expects NULL.
        SELECT array_agg(CASE
            WHEN a.expected >= 0 THEN a.expected
            WHEN a.item = ANY (repeated) THEN NULL
            WHEN a.expected = -1 OR s.version > 0 THEN s.version
            END ORDER BY a.item) INTO exact
        FROM unnest(p_stream_ids, p_expected) WITH ORDINALITY a (stream_id, expected, item)
        LEFT JOIN LATERAL (SELECT x.version FROM {schema}.streams x WHERE x.stream_id = a.stream_id LIMIT 1) s ON true;
    END IF;

    WITH a AS MATERIALIZED (
        SELECT a.item::int, a.stream_id, a.expected, a.last, a.first, a.n
        FROM unnest(p_stream_ids, exact, p_last, p_firsts, p_counts) WITH ORDINALITY a (stream_id, expected, last, first, n, item)
    ), up AS (
        INSERT INTO {schema}.streams AS s (stream_no, stream_id, category, version, last_xid, last_epoch, last_event)
        OVERRIDING SYSTEM VALUE
        SELECT CASE WHEN a.expected > 0 OR (SELECT true FROM {schema}.streams x WHERE x.stream_id = a.stream_id) THEN 0
                    ELSE nextval('{schema}.streams_stream_no_seq') END,
               a.stream_id,
               CASE a.expected WHEN 0 THEN split_part(a.stream_id, '-', 1) ELSE '' END,
               CASE a.expected WHEN 0 THEN a.n ELSE a.expected END,
               own,
               CASE a.expected WHEN 0 THEN cur_epoch ELSE a.n END,
               p_ids[a.first + a.n - 1]
        FROM a
        WHERE a.expected = 0
           OR a.expected > 0 AND (SELECT a.last IS NULL OR x.last_event = a.last
                                  FROM {schema}.streams x WHERE x.stream_id = a.stream_id)
        ORDER BY a.stream_id COLLATE "C"
        ON CONFLICT ON CONSTRAINT streams_stream_id_key DO UPDATE
        SET version = CASE excluded.category WHEN '' THEN s.version + excluded.last_epoch ELSE excluded.version END,
            last_xid = CASE s.last_epoch WHEN cur_epoch THEN greatest(s.last_xid, own) ELSE own END,
            last_epoch = cur_epoch,
            last_event = excluded.last_event
        WHERE s.version = CASE excluded.category WHEN '' THEN excluded.version ELSE 0 END
        RETURNING s.stream_no, s.stream_id, s.category, s.version, nullif(s.last_xid, own) AS held_until
    ), ins AS (
        INSERT INTO {schema}.events (stream_no, stream_version, transaction_id, held_until,
                                     event_id, stream_id, category, event_type, data, blob, metadata)
        SELECT up.stream_no, up.version - a.n + e.ord - a.first + 1, own, up.held_until,
               p_ids[e.ord], up.stream_id, up.category, p_types[e.ord], p_data[e.ord]::jsonb, p_blobs[e.ord], p_metadata[e.ord]::jsonb
        FROM up
        JOIN a USING (stream_id)
        CROSS JOIN LATERAL generate_series(a.first, a.first + a.n - 1) e (ord)
        RETURNING stream_id, stream_version, global_position
    )
    SELECT array_agg(a.item), array_agg(w.version), array_agg(w.global_position)
    INTO written, w_versions, w_positions
    FROM a
    JOIN (SELECT stream_id, max(stream_version) AS version, max(global_position) AS global_position
          FROM ins GROUP BY stream_id) w USING (stream_id);

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
        WHERE x.stream_no = s.stream_no
          AND x.stream_version = {schema}.find_append(s.stream_no, p_ids[a.first : a.first + a.n - 1])
          AND x.stream_version = CASE WHEN a.expected >= 0 THEN a.expected + a.n ELSE x.stream_version END
          AND (a.expected >= 0 OR a.item = ANY (repeated))
        LIMIT 1) e ON true
    WHERE a.item <> ALL (coalesce(written, '{}'));
END
$$;

-- append_event appends one event, which is what most commands do. What it answers, and why
-- the order of its statements is what the feed builds on, append_events says: the first one
-- locks the stream and judges the version of its newest row, and only the last one draws a
-- position. It writes what can be written at first sight; what is or may be a conflict or a
-- repeated append is left to append_events. An append without an expected version whose id
-- is to be looked for must not come here, because it is to be looked for under the lock.
CREATE FUNCTION {schema}.append_event(
    p_stream_id text, p_expected bigint, p_last uuid, p_id uuid, p_type text, p_data text, p_blob bytea, p_metadata text,
    OUT outcome text, OUT version bigint, OUT "position" bigint)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    own       xid8 := pg_current_xact_id();
    cur_epoch int := (SELECT epoch FROM {schema}.epochs ORDER BY epoch DESC LIMIT 1);
    stream    bigint;
    held      xid8;
    category  text;
BEGIN
    UPDATE {schema}.streams s
    SET version = s.version + 1,
        last_xid = CASE s.last_epoch WHEN cur_epoch THEN greatest(s.last_xid, own) ELSE own END,
        last_epoch = cur_epoch,
        last_event = p_id
    WHERE s.stream_id = p_stream_id
      AND (s.version = p_expected OR p_expected = -1 OR p_expected = -2 AND s.version > 0)
      AND (p_last IS NULL OR s.last_event = p_last)
    RETURNING s.stream_no, s.version, s.category, nullif(s.last_xid, own) INTO stream, version, category, held;
    IF NOT FOUND AND p_expected IN (0, -1) THEN
        INSERT INTO {schema}.streams AS s (stream_id, category, version, last_xid, last_epoch, last_event)
        SELECT p_stream_id, split_part(p_stream_id, '-', 1), 1, own, cur_epoch, p_id
        WHERE NOT EXISTS (SELECT FROM {schema}.streams x WHERE x.stream_id = p_stream_id)
        ON CONFLICT ON CONSTRAINT streams_stream_id_key DO NOTHING
        RETURNING s.stream_no, s.version, s.category INTO stream, version, category;
    END IF;
    IF FOUND THEN
        INSERT INTO {schema}.events (stream_no, stream_version, transaction_id, held_until,
                                     event_id, stream_id, category, event_type, data, blob, metadata)
        VALUES (stream, version, own, held, p_id, p_stream_id, category, p_type, p_data::jsonb, p_blob, p_metadata::jsonb)
        RETURNING 'written', global_position INTO outcome, position;
    ELSE
        SELECT a.outcome, a.version, a.position INTO outcome, version, position
        FROM {schema}.append_events(ARRAY[p_stream_id], ARRAY[p_expected], ARRAY[p_last], '{1}', '{1}', '{false}',
                                    ARRAY[p_id], ARRAY[p_type], ARRAY[p_data], ARRAY[p_blob], ARRAY[p_metadata]) a;
    END IF;
END
$$;
