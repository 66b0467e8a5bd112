-- How many positions a session draws at once; anything but 1 breaks their order.
SELECT seqcache FROM pg_sequence WHERE seqrelid = pg_get_serial_sequence($1, 'global_position')::regclass
