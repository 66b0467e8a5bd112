-- Cheaper appends. {schema} stands for the quoted name of the schema.

-- append_events is that of 0003, where it is explained, but for the insert of the events:
-- it finds the elements of an append by their numbers, which takes a tenth off the
-- function, and has no use for p_items any more.
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

-- append_event appends one event, which is what most commands do. What it answers, and
-- why the order of its statements is what the feed builds on, append_events says (0001,
-- 0003): the first one locks the stream and judges the version of its newest row, and
-- only the last one draws a position. It writes what can be written at first sight; what
-- is or may be a conflict or a repeated append is left to append_events. An append
-- without an expected version whose id is to be looked for must not come here.
CREATE FUNCTION {schema}.append_event(
    p_stream_id text, p_expected bigint, p_id uuid, p_type text, p_data text, p_blob bytea, p_metadata text,
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
        last_epoch = cur_epoch
    WHERE s.stream_id = p_stream_id
      AND (s.version = p_expected OR p_expected = -1 OR p_expected = -2 AND s.version > 0)
    RETURNING s.stream_no, s.version, s.category, nullif(s.last_xid, own) INTO stream, version, category, held;
    IF NOT FOUND AND p_expected IN (0, -1) THEN
        INSERT INTO {schema}.streams AS s (stream_id, category, version, last_xid, last_epoch)
        SELECT p_stream_id, split_part(p_stream_id, '-', 1), 1, own, cur_epoch
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
        FROM {schema}.append_events(ARRAY[p_stream_id], ARRAY[p_expected], '{1}', '{1}', '{false}', NULL,
                                    ARRAY[p_id], ARRAY[p_type], ARRAY[p_data], ARRAY[p_blob], ARRAY[p_metadata]) a;
    END IF;
END
$$;
