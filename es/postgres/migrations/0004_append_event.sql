-- A cheaper way into the log for a single event, which is what most commands append.
-- {schema} stands for the quoted name of the schema.

-- append_event appends one event. What it answers, and why the order of its statements
-- is what the feed builds on, append_events says (0001, 0003): the first one locks the
-- stream and judges the version of its newest row, and only the last one draws a
-- position. It writes what can be written at first sight; what is or may be a conflict
-- or a repeated append is left to append_events. So is an append without an expected
-- version whose id is to be looked for, which must not come here.
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
        FROM {schema}.append_events(ARRAY[p_stream_id], ARRAY[p_expected], '{1}', '{1}', '{false}', '{1}',
                                    ARRAY[p_id], ARRAY[p_type], ARRAY[p_data], ARRAY[p_blob], ARRAY[p_metadata]) a;
    END IF;
END
$$;
