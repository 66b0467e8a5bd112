-- Stores progress if the subscription is of revision $2; see the function, which
-- raises PEA01 to PEA03 if it cannot be.
SELECT {schema}.save_progress($1, $2, $3, $4, $5::bigint[], $6::text[], $7::bigint[], $8::text[], $9::int[], $10::bigint[])
