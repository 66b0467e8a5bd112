package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/peatlog/peat/es"
)

// Errors of [Open] about the file.
var (
	// ErrNotDatabase: the file is something else than a SQLite database.
	ErrNotDatabase = errors.New("not a SQLite database")
	// ErrSchemaNewer: the file was migrated by a newer version of peat.
	ErrSchemaNewer = errors.New("schema newer than this program")
	// ErrMigrationEdited: a migration was applied whose text differs from the
	// one in this program.
	ErrMigrationEdited = errors.New("applied migration differs")
)

// ErrClosed: the store was used after [Store.Close].
var ErrClosed = errors.New("store closed")

// code returns the primary and the extended result code of an error of SQLite.
func code(err error) (primary, extended int) {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff, e.Code()
	}
	return 0, 0
}

// statementError gives an error of SQLite the sentinel of package es that says
// what it means for the caller.
func statementError(err error) error {
	switch primary, _ := code(err); primary {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%w, repeat the transaction: %w", es.ErrBusy, err)
	case sqlite3.SQLITE_TOOBIG:
		return fmt.Errorf("%w: %w", es.ErrInvalidEvent, err)
	}
	return err
}

// commitError does the same for an error of COMMIT. Only when the file could not
// be written or synced is the outcome unknown: what reached the write-ahead log
// may be found there after a crash.
func commitError(err error) error {
	if primary, _ := code(err); primary == sqlite3.SQLITE_IOERR {
		return &es.OutcomeUnknownError{Err: err}
	}
	return statementError(err)
}

// contextError returns ctx's error where err only says that database/sql ended
// the transaction because of it.
func contextError(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, sql.ErrTxDone) {
		return ctx.Err()
	}
	return err
}
