-- Waiting for locks is bounded again as it is in other transactions of the session.
SET LOCAL lock_timeout TO DEFAULT
