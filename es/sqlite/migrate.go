package sqlite

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one step of the schema. Steps are never edited once released;
// their checksums see to it.
type migration struct {
	version        int
	name, checksum string
	text           string
}

// migrations returns all steps that this program knows, in order.
func migrations() []migration {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		panic(err)
	}
	var all []migration
	for _, file := range names { // sorted by name
		text, err := migrationFiles.ReadFile(file)
		if err != nil {
			panic(err)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(file, "migrations/"), ".sql")
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != len(all)+1 {
			panic(fmt.Sprintf("migration %s is out of order", file))
		}
		sum := sha256.Sum256(text)
		all = append(all, migration{version: version, name: name, checksum: hex.EncodeToString(sum[:]), text: string(text)})
	}
	return all
}

// migrate brings the file's schema up to date. All steps are applied in one
// transaction that holds the write lock, so that any number of processes may open
// a file at once. A schema that is up to date is only read.
func (h *handle) migrate(ctx context.Context, q *queries) error {
	applied, err := appliedMigrations(ctx, h.db, q)
	if err != nil {
		return err
	}
	missing, err := missingMigrations(applied, migrations())
	if err != nil || len(missing) == 0 {
		return err
	}
	tx, err := h.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // without effect after a commit
	if _, err := tx.ExecContext(ctx, q.createMigrations); err != nil {
		return err
	}
	// Again: somebody else may have migrated before this one got the lock.
	if applied, err = appliedMigrations(ctx, tx, q); err != nil {
		return err
	}
	if missing, err = missingMigrations(applied, migrations()); err != nil {
		return err
	}
	for _, m := range missing {
		if _, err := tx.ExecContext(ctx, m.text); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if _, err := tx.ExecContext(ctx, q.recordMigration, m.version, m.name, m.checksum, time.Now().UnixMicro()); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return tx.Commit()
}

// appliedMigrations returns what was applied to the file, nothing where it is new.
func appliedMigrations(ctx context.Context, db querier, q *queries) ([]migration, error) {
	var any bool
	if err := queryRow(ctx, db, q.hasMigrations, nil, &any); err != nil || !any {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, q.appliedMigrations)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var applied []migration
	for rows.Next() {
		var m migration
		if err := rows.Scan(&m.version, &m.name, &m.checksum); err != nil {
			return nil, err
		}
		applied = append(applied, m)
	}
	return applied, rows.Err()
}

// missingMigrations compares what was applied with what this program knows.
func missingMigrations(applied, known []migration) ([]migration, error) {
	for i, a := range applied {
		switch {
		case i >= len(known):
			return nil, fmt.Errorf("%w: it has migration %s, this program knows %d; upgrade the program", ErrSchemaNewer, a.name, len(known))
		case a.version != known[i].version || a.checksum != known[i].checksum:
			return nil, fmt.Errorf("%w: %s was applied with checksum %.12s, this program has %s with %.12s; restore the released file, changes go into a new migration",
				ErrMigrationEdited, a.name, a.checksum, known[i].name, known[i].checksum)
		}
	}
	return known[len(applied):], nil
}
