-- Stores progress if the subscription is of revision $2; see the function, which
-- raises PEA01 if it is not.
SELECT {schema}.save_progress($1, $2, $3, $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::int[], $9::bigint[])
