package sqlite

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/peatlog/peat/es/internal/migrations"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

var steps = migrations.Load(migrationFiles, "migrations")

// migrate brings the file's schema up to date. All steps are applied in one
// transaction that holds the write lock, so that any number of processes may open
// a file at once. A schema that is up to date is only read.
func (h *handle) migrate(ctx context.Context, q *queries) error {
	applied, err := appliedMigrations(ctx, h.db, q)
	if err != nil {
		return err
	}
	missing, err := migrations.Missing(applied, steps)
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
	if missing, err = migrations.Missing(applied, steps); err != nil {
		return err
	}
	for _, m := range missing {
		if _, err := tx.ExecContext(ctx, m.Text); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		if _, err := tx.ExecContext(ctx, q.recordMigration, m.Version, m.Name, m.Checksum, time.Now().UnixMicro()); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return tx.Commit()
}

// appliedMigrations returns what was applied to the file, nothing where it is new.
func appliedMigrations(ctx context.Context, db querier, q *queries) ([]migrations.Step, error) {
	var exists bool
	if err := queryRow(ctx, db, q.hasMigrations, nil, &exists); err != nil || !exists {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, q.appliedMigrations)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err says it
	var applied []migrations.Step
	for rows.Next() {
		var m migrations.Step
		if err := rows.Scan(&m.Version, &m.Name, &m.Checksum); err != nil {
			return nil, err
		}
		applied = append(applied, m)
	}
	return applied, rows.Err()
}
