-- A cheaper append function, for batches of the appends of many callers.
-- {schema} stands for the quoted name of the schema.

-- append_events is the only way into the log. What it takes and answers is what
-- 0001 says; so is why no table is joined with, and why the order of events is what
-- the feed builds on:
-- 1. The transaction has its id, and the rows of a stream are locked, before any
--    position of that stream is drawn. So positions grow with versions inside a
--    stream, and from cause to effect. The rows are locked one after another in
--    the order of stream ids, so that two batches never wait for each other in a
--    ring.
-- 2. Whatever has to see what the previous holder of a stream committed is either
--    the judgement of ON CONFLICT, which is about the newest row, or a statement
--    that begins after the lock.
--
-- Where all appends name a version, one statement compares, advances and writes.
-- Its upsert cannot carry the expected version and the number of events beside
-- each other, as a row that it inserts must be a true one. So what expects events
-- has '' for a category, the expected version for a version and the number of events
-- for an epoch: such a row meets another one for certain and is never inserted.
--
-- A stream has its number from the sequence when it is new, and only then: an upsert
-- that drew one for every append would leave gaps with a pattern, such as none but even
-- numbers, and the segments of a subscription, which are the numbers modulo their
-- count, would be of very different size. A row that meets another one has 0.
--
-- A batch of several waits for no lock longer than 200 ms: then it fails with
-- lock_not_available, so that it does not make everybody wait for one stream. Their
-- callers repeat the appends one by one.
CREATE OR REPLACE FUNCTION {schema}.append_events(
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
            CROSS JOIN LATERAL (SELECT x.stream_no, x.version FROM {schema}.streams x WHERE x.stream_id = a.stream_id LIMIT 1) s
            WHERE a.search
              AND {schema}.find_append(s.stream_no, s.version - greatest(100, a.n) + 1, s.version,
                                       p_ids[a.first : a.first + a.n - 1]) IS NOT NULL;
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
        SELECT a.item::int, a.stream_id, a.expected, a.first, a.n
        FROM unnest(p_stream_ids, exact, p_firsts, p_counts) WITH ORDINALITY a (stream_id, expected, first, n, item)
    ), up AS (
        INSERT INTO {schema}.streams AS s (stream_no, stream_id, category, version, last_xid, last_epoch)
        OVERRIDING SYSTEM VALUE
        SELECT CASE WHEN a.expected > 0 OR (SELECT true FROM {schema}.streams x WHERE x.stream_id = a.stream_id) THEN 0
                    ELSE nextval('{schema}.streams_stream_no_seq') END,
               a.stream_id,
               CASE a.expected WHEN 0 THEN split_part(a.stream_id, '-', 1) ELSE '' END,
               CASE a.expected WHEN 0 THEN a.n ELSE a.expected END,
               own,
               CASE a.expected WHEN 0 THEN cur_epoch ELSE a.n END
        FROM a
        WHERE a.expected = 0
           OR a.expected > 0 AND (SELECT true FROM {schema}.streams x WHERE x.stream_id = a.stream_id)
        ORDER BY a.stream_id COLLATE "C"
        ON CONFLICT ON CONSTRAINT streams_stream_id_key DO UPDATE
        SET version = CASE excluded.category WHEN '' THEN s.version + excluded.last_epoch ELSE excluded.version END,
            last_xid = CASE s.last_epoch WHEN cur_epoch THEN greatest(s.last_xid, own) ELSE own END,
            last_epoch = cur_epoch
        WHERE s.version = CASE excluded.category WHEN '' THEN excluded.version ELSE 0 END
        RETURNING s.stream_no, s.stream_id, s.category, s.version, nullif(s.last_xid, own) AS held_until
    ), ins AS (
        INSERT INTO {schema}.events (stream_no, stream_version, transaction_id, held_until,
                                     event_id, stream_id, category, event_type, data, blob, metadata)
        SELECT up.stream_no, up.version - a.n + e.ord - a.first + 1, own, up.held_until,
               e.id, up.stream_id, up.category, e.type, e.data::jsonb, e.blob, e.metadata::jsonb
        FROM up
        JOIN a USING (stream_id)
        JOIN unnest(p_items, p_ids, p_types, p_data, p_blobs, p_metadata) WITH ORDINALITY e (item, id, type, data, blob, metadata, ord)
          ON e.item = a.item
        ORDER BY e.ord
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

-- lock_stream is what 0001 says, and numbers a stream as append_events does.
CREATE OR REPLACE FUNCTION {schema}.lock_stream(p_stream_id text) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
BEGIN
    INSERT INTO {schema}.streams AS s (stream_no, stream_id, category, version, last_xid, last_epoch)
    OVERRIDING SYSTEM VALUE
    VALUES (CASE WHEN (SELECT true FROM {schema}.streams x WHERE x.stream_id = p_stream_id) THEN 0
                 ELSE nextval('{schema}.streams_stream_no_seq') END,
            p_stream_id, split_part(p_stream_id, '-', 1), 0, '0', (SELECT max(epoch) FROM {schema}.epochs))
    ON CONFLICT ON CONSTRAINT streams_stream_id_key DO UPDATE SET version = s.version WHERE false;
    -- A statement of its own: its snapshot is newer than the lock.
    RETURN (SELECT version FROM {schema}.streams WHERE stream_id = p_stream_id);
END
$$;
