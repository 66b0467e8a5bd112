-- In the round trip, plans are made once for all arguments: those of the feed are no
-- worse, and making one costs more than a tail poll.
SELECT set_config('plan_cache_mode', 'force_generic_plan', true)
