-- Bounds the waiting for locks in the rest of the transaction.
SELECT set_config('lock_timeout', $1, true)
