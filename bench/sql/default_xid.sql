-- COPY leaves the transaction to the default.
ALTER TABLE {schema}.copied ALTER transaction_id SET DEFAULT pg_current_xact_id()
