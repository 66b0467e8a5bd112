-- All events of all streams as append_events writes them: versions without holes,
-- positions drawn from the sequence in the order of versions, nothing held back
-- (held_until is NULL, as the streams have no event of a later transaction).
INSERT INTO {schema}.events (stream_no, stream_version, transaction_id, event_id, stream_id, category, event_type, data)
SELECT s.stream_no, v, pg_current_xact_id(), gen_random_uuid(), s.stream_id, s.category, 'bench.paid',
       jsonb_build_object('stream', split_part(s.stream_id, '-', 2)::int, 'seq', v, 'cents', v * 100 + 7,
                          'from', 'account-' || s.stream_no, 'note', 'rent of the month, paid')
FROM {schema}.streams s
CROSS JOIN LATERAL generate_series(1, s.version) v
ORDER BY v, s.stream_no
