package views

import (
	"context"
	"database/sql"
	"net/url"
	"path/filepath"

	"github.com/peatlog/peat/es/sqlite"
)

// idleConnections is how many connections are kept open for the next pages.
const idleConnections = 8

// OnSQLite returns the read models in the file of a store. The tables lie beside
// those of the log.
func OnSQLite(store *sqlite.Store, path string) (*DB, error) {
	file, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	address := url.URL{Scheme: "file", Path: file, RawQuery: "_pragma=busy_timeout(5000)&_txlock=immediate"}
	reads, err := sql.Open("sqlite", address.String())
	if err != nil {
		return nil, err
	}
	reads.SetMaxIdleConns(idleConnections)
	return &DB{
		reads:  reads,
		writes: transactor[*sql.Tx, Tx]{store, func(tx *sql.Tx) Tx { return sqliteTx{tx} }},
		asking: transactor[*sql.Tx, AskingTx]{store, func(tx *sql.Tx) AskingTx { return sqliteTx{tx} }},
		dialect: dialect{
			lock:   "SELECT 1", // the transaction has the file's write lock
			exists: "SELECT count(*) FROM sqlite_master WHERE type = 'view' AND name = $1",

			segments: 1, // there is one process
		},
	}, nil
}

type sqliteTx struct{ tx *sql.Tx }

// Exec implements [Tx].
func (t sqliteTx) Exec(ctx context.Context, query string, args ...any) error {
	_, err := t.tx.ExecContext(ctx, inGenerationOf(ctx, query), args...)
	return err
}

// Query implements [AskingTx].
func (t sqliteTx) Query(ctx context.Context, each func(Scan) error, query string, args ...any) error {
	rows, err := t.tx.QueryContext(ctx, inGenerationOf(ctx, query), args...)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // rows.Err says it
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
