-- Where the reference keeps how far it has come.
CREATE TABLE {schema}.reference (
    name       text CONSTRAINT reference_pkey PRIMARY KEY,
    "position" bigint NOT NULL
)
