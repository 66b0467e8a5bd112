-- Locks projection $1 until the transaction ends, if its generation $2 is being built.
-- Answers whether the live one is to be kept; no row where it is not being built.
SELECT keep FROM {schema}.projections WHERE name = $1 AND building = $2 FOR UPDATE
