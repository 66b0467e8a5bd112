-- Deletes the snapshots of a category, whose stream ids lie between its name with a '-' and
-- with the character that follows '-'.
DELETE FROM peat_snapshots WHERE stream_id >= ?1 || '-' AND stream_id < ?1 || '.'
