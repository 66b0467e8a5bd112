package sqlite

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/internal/migrations"
)

// Errors of [Open] about the file.
var (
	// ErrNotDatabase: the file is something else than a SQLite database.
	ErrNotDatabase = errors.New("not a SQLite database")
	// ErrSchemaNewer: the file was migrated by a newer version of peat.
	ErrSchemaNewer = migrations.ErrSchemaNewer
	// ErrMigrationEdited: a migration was applied whose text differs from the
	// one in this program.
	ErrMigrationEdited = migrations.ErrMigrationEdited
)

// ErrClosed is the error of every call after [Store.Close].
var ErrClosed = errors.New("store closed")

// code returns the primary result code of an error of SQLite, 0 for any other.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// isDuplicate reports whether an insert of events failed because an id is in the log. (The
// versions of a stream, which are unique as well, are counted under the write lock.)
func isDuplicate(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE
}

// statementError gives an error of SQLite the sentinel of package es that says
// what it means for the caller.
func statementError(err error) error {
	switch code(err) {
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
	if code(err) == sqlite3.SQLITE_IOERR {
		return &es.OutcomeUnknownError{Err: err}
	}
	return statementError(err)
}
