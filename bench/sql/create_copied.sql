-- A table like that of the events, with all its indexes, to copy into.
CREATE TABLE {schema}.copied (LIKE {schema}.events INCLUDING ALL)
