package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es/internal/migrations"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

var steps = migrations.Load(migrationFiles, "migrations")

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
	missing, err := migrations.Missing(applied, steps)
	if err != nil {
		return err
	}
	for _, m := range missing {
		if _, err := tx.Exec(ctx, q.inSchema(m.Text), pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		if _, err := tx.Exec(ctx, q.recordMigration, m.Version, m.Name, m.Checksum); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
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
	missing, err := migrations.Missing(applied, steps)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: schema %s lacks %s; run postgres.Migrate", ErrNotMigrated, q.schema, missing[0].Name)
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
func appliedMigrations(ctx context.Context, db querier, q queries) ([]migrations.Step, error) {
	rows, err := db.Query(ctx, q.appliedMigrations)
	if err == nil {
		var applied []migrations.Step
		applied, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m migrations.Step, err error) {
			return m, row.Scan(&m.Version, &m.Name, &m.Checksum)
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
