package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/internal/migrations"
)

// Errors of [Open] and [Migrate] about the schema.
var (
	// ErrNotMigrated: the schema lacks migrations that this program needs.
	ErrNotMigrated = errors.New("schema not migrated")
	// ErrSchemaNewer: the schema was migrated by a newer version of peat.
	ErrSchemaNewer = migrations.ErrSchemaNewer
	// ErrMigrationEdited: a migration was applied whose text differs from the
	// one in this program.
	ErrMigrationEdited = migrations.ErrMigrationEdited
)

// statementError gives an error of the server the sentinel of package es that
// says what it means for the caller. The statement's transaction has failed.
func statementError(err error) error {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err
	}
	switch {
	case pgErr.Code == "23505" && pgErr.ConstraintName == "events_event_id_key":
		return fmt.Errorf("%w, an id is in the log once: %w", es.ErrDuplicateID, err)
	case pgErr.Code == "40001", pgErr.Code == "40P01", pgErr.Code == "55P03":
		// serialization_failure, deadlock_detected, lock_not_available
		return fmt.Errorf("%w, repeat the transaction: %w", es.ErrBusy, err)
	case strings.HasPrefix(pgErr.Code, "22"), pgErr.Code == "54000", pgErr.Code == "54001":
		// data exceptions, and limits of jsonb such as its depth
		return fmt.Errorf("%w: %w", es.ErrInvalidEvent, err)
	}
	return err
}

// commitError does the same for an error of a statement that commits on its
// own, or of COMMIT, once it may have been sent: unless the server said that it
// failed, the outcome is unknown. (pgconn.SafeToRetry does not help: for a COMMIT
// whose answer was lost, pgx says "conn closed", which counts as safe there.)
func commitError(err error) error {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.SeverityUnlocalized == "ERROR" {
		return statementError(err)
	}
	if errors.Is(err, pgx.ErrTxCommitRollback) {
		return err
	}
	return &es.OutcomeUnknownError{Err: err}
}

// notSent returns the reason why a statement on conn cannot be sent at all, nil
// if it can.
func notSent(ctx context.Context, conn *pgx.Conn) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if conn.IsClosed() {
		return fmt.Errorf("nothing was written: %w", pgconn.ErrConnClosed)
	}
	return nil
}
