-- Counts a claim of subscription ?1. Answers its number, which is above those of all
-- claims before and above the upper half of the subscription's revision.
UPDATE peat_claims
SET number = 1 + max(number, coalesce((SELECT revision >> 32 FROM peat_subscriptions WHERE name = ?1), 0))
RETURNING number
