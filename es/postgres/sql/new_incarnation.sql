-- Gives the server an incarnation, unless somebody was faster.
INSERT INTO {schema}.incarnation DEFAULT VALUES ON CONFLICT DO NOTHING
