package views

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

// Tx takes the statements of a handler. They take effect together with its
// progress, and in their order; on PostgreSQL they are sent in one round trip
// when the handler is done. {g} stands for the generation of the projection.
type Tx interface {
	Exec(ctx context.Context, query string, args ...any) error
}

// AskingTx is a Tx that can also read what it has written, for one round trip each.
type AskingTx interface {
	Tx
	Query(ctx context.Context, each func(scan Scan) error, query string, args ...any) error
}

// Scan reads the columns of a row.
type Scan = func(dest ...any) error

// DB is the database with the read models, which is that of the store.
type DB struct {
	reads   *sql.DB
	writes  es.Transactor[Tx]
	asking  es.Transactor[AskingTx]
	dialect dialect
}

// dialect is what the two databases do not agree on.
type dialect struct {
	// lock makes other processes wait that create the tables, too.
	lock string
	// exists counts the views of a name.
	exists string
	// segments is into how many parts the statements are divided, which several
	// processes can share: each account's is on its own.
	segments int
}

// Close ends the connections that are the views' own.
func (db *DB) Close() error { return db.reads.Close() }

// transactor adapts a store, whose handlers get a T, to handlers that get a V.
type transactor[T, V any] struct {
	store es.Transactor[T]
	adapt func(T) V
}

// Deliver implements [es.Transactor].
func (t transactor[T, V]) Deliver(ctx context.Context, f func(V) error, p es.Progress) error {
	return t.store.Deliver(ctx, func(tx T) error { return f(t.adapt(tx)) }, p)
}

// TakeOver implements [es.Transactor].
func (t transactor[T, V]) TakeOver(ctx context.Context, to es.TakeOver, f func(V) error) (bool, error) {
	return t.store.TakeOver(ctx, to, func(tx T) error { return f(t.adapt(tx)) })
}

// inGeneration puts the number of a generation into a statement.
func inGeneration(query string, g int) string {
	return strings.ReplaceAll(query, "{g}", strconv.Itoa(g))
}

// inGenerationOf does the same for the generation that a handler is called for.
func inGenerationOf(ctx context.Context, query string) string {
	return inGeneration(query, subscribe.Generation(ctx))
}

// collect returns a value for each row of a query.
func collect[T any](ctx context.Context, db *sql.DB, read func(Scan) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err says it
	var all []T
	for rows.Next() {
		one, err := read(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// first returns the first row of a query, and sql.ErrNoRows where there is none.
func first[T any](ctx context.Context, db *sql.DB, read func(Scan) (T, error), query string, args ...any) (T, error) {
	all, err := collect(ctx, db, read, query, args...)
	if err == nil && len(all) == 0 {
		err = sql.ErrNoRows
	}
	if err != nil {
		var none T
		return none, err
	}
	return all[0], nil
}

// Create creates the tables of the first generation where there are none yet. Any
// number of processes may call it at once.
func (db *DB) Create(ctx context.Context) error {
	tx, err := db.reads.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // the commit counts
	if _, err := tx.ExecContext(ctx, db.dialect.lock); err != nil {
		return err
	}
	for _, t := range tables() {
		var n int
		if err := tx.QueryRowContext(ctx, db.dialect.exists, t.name).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		for _, statement := range append(t.create(1), t.show(1)) {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("create the view %s: %w", t.name, err)
			}
		}
	}
	return tx.Commit()
}
