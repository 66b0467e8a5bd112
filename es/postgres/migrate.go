package postgres

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
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

// Migrate brings the schema that opts names up to date, creating it where there
// is none. All steps are applied in one transaction, under an advisory lock, so
// that any number of processes may call it at once: one migrates, the others
// wait, up to LockTimeout (then es.ErrBusy), and find nothing to do. A schema that
// is up to date is only read.
//
// Errors to branch on: [ErrSchemaNewer], [ErrMigrationEdited].
func Migrate(ctx context.Context, pool *pgxpool.Pool, opts Options) error {
	opts, err := opts.withDefaults()
	if err != nil {
		return err
	}
	q := newQueries(opts.Schema)
	err = checkSchema(ctx, pool, q)
	if errors.Is(err, ErrNotMigrated) {
		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return migrate(ctx, tx, opts, q) })
	}
	if err != nil {
		return fmt.Errorf("migrate: %w", statementError(err))
	}
	return nil
}

func migrate(ctx context.Context, tx pgx.Tx, opts Options, q queries) error {
	timeout := strconv.FormatInt(opts.LockTimeout.Milliseconds(), 10)
	if _, err := tx.Exec(ctx, "SELECT set_config('lock_timeout', $1, true)", timeout); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, q.lockMigrations, opts.Schema); err != nil {
		return fmt.Errorf("wait for another migration of schema %s: %w", q.schema, err)
	}
	exists := false
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", opts.Schema).Scan(&exists); err != nil {
		return err
	}
	if !exists { // CREATE … IF NOT EXISTS would ask for the right to create schemas all the same
		if _, err := tx.Exec(ctx, "CREATE SCHEMA "+q.schema); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, q.createMigrations); err != nil {
		return err
	}
	applied, err := appliedMigrations(ctx, tx, q)
	if err != nil {
		return err
	}
	missing, err := missingMigrations(applied, migrations())
	if err != nil {
		return err
	}
	for _, m := range missing {
		if _, err := tx.Exec(ctx, q.inSchema(m.text), pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if _, err := tx.Exec(ctx, q.recordMigration, m.version, m.name, m.checksum); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// checkSchema reports whether this program can work with the schema as it is.
func checkSchema(ctx context.Context, db querier, q queries) error {
	applied, err := appliedMigrations(ctx, db, q)
	if err != nil {
		return err
	}
	missing, err := missingMigrations(applied, migrations())
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: schema %s lacks %s; run postgres.Migrate", ErrNotMigrated, q.schema, missing[0].name)
	}
	cache := 0
	if err := db.QueryRow(ctx, q.sequenceCache, q.schema+".events").Scan(&cache); err != nil {
		return fmt.Errorf("look at the position sequence of schema %s: %w", q.schema, err)
	}
	if cache != 1 {
		return fmt.Errorf("the position sequence of schema %s has CACHE %d, which breaks the order of positions; set it back to CACHE 1", q.schema, cache)
	}
	return nil
}

// appliedMigrations returns what was applied to the schema, nothing where the
// schema does not exist.
func appliedMigrations(ctx context.Context, db querier, q queries) ([]migration, error) {
	rows, err := db.Query(ctx, q.appliedMigrations)
	if err == nil {
		var applied []migration
		applied, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m migration, err error) {
			return m, row.Scan(&m.version, &m.name, &m.checksum)
		})
		if err == nil {
			return applied, nil
		}
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && (pgErr.Code == "42P01" || pgErr.Code == "3F000") {
		return nil, nil // undefined_table, invalid_schema_name
	}
	return nil, fmt.Errorf("read the applied migrations of schema %s: %w", q.schema, err)
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
