-- The transactions that have ended: second statement of a frontier. It leaves them where
-- the window of feed.sql finds them, if it is read in the same round trip, and does
-- what generic_plans.sql does.
SELECT set_config('peat.snapshot', pg_current_snapshot()::text, true), pg_is_in_recovery(),
       set_config('plan_cache_mode', 'force_generic_plan', true)
