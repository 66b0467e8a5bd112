-- The low 32 bits of the next transaction id, without drawing one: third statement
-- of a frontier. age counts from the next id, and reads it once per transaction.
SELECT (age('3'::xid)::bigint + 3) & 4294967295
