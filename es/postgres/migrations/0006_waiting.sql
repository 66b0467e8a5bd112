-- Parked events wait only for others. {schema} stands for the quoted name of the schema.

-- save_progress is that of 0002, where it is explained, but for one more check. An event
-- of 0 attempts waits for another one of its stream that is parked, or is set aside with it.
-- PEA02 is raised where there is none any more: it was discarded, and the stream flows again.
CREATE OR REPLACE FUNCTION {schema}.save_progress(
    p_name text, p_revision bigint, p_checkpoint text, p_incarnation text,
    p_positions bigint[], p_stream_ids text[], p_versions bigint[], p_errors text[], p_attempts int[],
    p_unpark bigint[])
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    unparked int;
    free     text;
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
    IF 0 = ANY (p_attempts) THEN
        -- The lock makes a discard wait for this transaction, and this for a discard.
        SELECT w.stream_id INTO free
        FROM (SELECT p.stream_id
              FROM unnest(p_stream_ids, p_attempts) p (stream_id, attempts)
              GROUP BY p.stream_id HAVING max(p.attempts) = 0) w
        LEFT JOIN LATERAL (
            SELECT true AS held FROM {schema}.parked q
            WHERE q.subscription = p_name AND q.stream_id = w.stream_id
            ORDER BY q."position" LIMIT 1
            FOR KEY SHARE) h ON true
        WHERE h.held IS NULL
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'no event of stream "%" is parked any more in subscription "%"', free, p_name USING ERRCODE = 'PEA02';
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
