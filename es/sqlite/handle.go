package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"

	"modernc.org/sqlite"
)

// querier is what a handle and a transaction have in common.
type querier interface {
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
}

// queryRow scans the first row of a query, and answers sql.ErrNoRows where there
// is none.
func queryRow(ctx context.Context, db querier, text string, args []any, dest ...any) (err error) {
	if t, ok := db.(*transaction); ok { // its end closes the rows between any two calls
		defer func() { err = t.why(err) }()
	}
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // the explicit one below counts
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err
		}
		return sql.ErrNoRows
	}
	if err := rows.Scan(dest...); err != nil {
		return err
	}
	return rows.Close()
}

// scan reads the columns of a row.
type scan = func(dest ...any) error

// queryRows calls take for each row of a query.
func queryRows(ctx context.Context, db querier, text string, args []any, take func(scan scan) error) error {
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return statementError(err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err says it
	for rows.Next() {
		if err := take(rows.Scan); err != nil {
			return err
		}
	}
	return statementError(rows.Err())
}

// handle is a pool of connections with the store's statements prepared.
type handle struct {
	db         *sql.DB
	statements map[string]*sql.Stmt
	closed     atomic.Bool
}

// openHandle returns a pool of up to size connections, which stay open.
func openHandle(dsn string, size int) (*handle, error) {
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	h := &handle{db: sql.OpenDB(connector), statements: map[string]*sql.Stmt{}}
	h.db.SetMaxOpenConns(size)
	h.db.SetMaxIdleConns(size)
	return h, nil
}

// prepare prepares the statements. The schema must be there.
func (h *handle) prepare(ctx context.Context, texts ...string) error {
	for _, text := range texts {
		stmt, err := h.db.PrepareContext(ctx, text)
		if err != nil {
			return fmt.Errorf("prepare %.40q…: %w", text, err)
		}
		h.statements[text] = stmt
	}
	return nil
}

// close closes the idle connections now and the others when they are given back.
func (h *handle) close() error {
	h.closed.Store(true)
	return h.db.Close()
}

// QueryContext runs one of the prepared statements.
func (h *handle) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if h.closed.Load() {
		return nil, ErrClosed
	}
	return h.statements[text].QueryContext(ctx, args...)
}

// ExecContext runs one of the prepared statements.
func (h *handle) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	if h.closed.Load() {
		return nil, ErrClosed
	}
	return h.statements[text].ExecContext(ctx, args...)
}

// in returns the handle's prepared statements inside a transaction of it that ends
// with ctx.
func (h *handle) in(ctx context.Context, tx *sql.Tx) *transaction {
	return &transaction{tx: tx, ended: ctx.Err, handle: h, statements: make(map[string]*sql.Stmt, 4)}
}

// transaction runs prepared statements inside a transaction.
type transaction struct {
	tx         *sql.Tx
	ended      func() error
	handle     *handle
	statements map[string]*sql.Stmt
}

func (t *transaction) stmt(ctx context.Context, text string) *sql.Stmt {
	stmt, ok := t.statements[text]
	if !ok {
		stmt = t.tx.StmtContext(ctx, t.handle.statements[text])
		t.statements[text] = stmt
	}
	return stmt
}

// why returns the error of the context that ended the transaction, where there is
// one, instead of what database/sql makes of it, such as a closed statement.
func (t *transaction) why(err error) error {
	if err != nil && t.ended() != nil {
		return t.ended()
	}
	return err
}

// QueryContext runs one of the prepared statements.
func (t *transaction) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	rows, err := t.stmt(ctx, text).QueryContext(ctx, args...)
	return rows, t.why(err)
}

// ExecContext runs one of the prepared statements.
func (t *transaction) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	result, err := t.stmt(ctx, text).ExecContext(ctx, args...)
	return result, t.why(err)
}
