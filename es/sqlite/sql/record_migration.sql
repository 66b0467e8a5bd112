-- Records an applied migration.
INSERT INTO peat_migrations (version, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)
