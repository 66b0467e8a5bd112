-- Takes the file's write lock, if the transaction has not got it yet, whether the
-- stream exists or not, and answers the stream's last version; no row where it has
-- no events.
UPDATE peat_streams SET version = version WHERE stream_id = ?1 RETURNING version
