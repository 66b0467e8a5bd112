package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/internal/traced"
)

// Tx is the store inside a transaction. It implements es.Tx and belongs to one
// goroutine. After an error of PostgreSQL the transaction can only be rolled
// back; a conflict is an answer, not an error of PostgreSQL, and leaves it usable.
type Tx struct {
	session
	tx          pgx.Tx
	afterCommit []func()
	appended    bool
}

var _ es.Tx = (*Tx)(nil)

// InTx runs f in a transaction of its own and commits it. If f returns an error
// or panics, everything in it is rolled back, and InTx returns that error as it
// is or goes on panicking. The isolation level is READ COMMITTED.
//
// A commit whose outcome is hidden by a lost connection gives
// es.ErrOutcomeUnknown; repeating the whole of f is safe when its appends have
// ids or expected versions and its other statements can bear it.
func (s *Store) InTx(ctx context.Context, f func(tx *Tx) error) error {
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	// Without effect after a commit. It must also reach the server when ctx is done.
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // the connection is dropped then
	t := s.Join(tx)
	if err := f(t); err != nil {
		return err
	}
	if err := notSent(ctx, tx.Conn()); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", commitError(err))
	}
	if t.appended {
		s.Wake()
	}
	for _, f := range t.afterCommit {
		f()
	}
	return nil
}

// Join returns the store inside a transaction that the caller began and will
// end, on the same database. Join a transaction once: what is known of it, such
// as which aggregates it saved, is kept in the Tx. Functions given to AfterCommit
// never run, because the commit is the caller's; and readers find what was appended
// at their next poll, unless the caller calls [Store.Wake] after it. The isolation level should be
// READ COMMITTED; in a stricter one, a concurrent append makes the transaction fail
// with es.ErrBusy.
func (s *Store) Join(tx pgx.Tx) *Tx {
	return &Tx{session: session{db: tx, sql: s.sql, opts: s.opts}, tx: tx}
}

// SQL returns the transaction for the caller's own statements. Inside InTx it
// must not be committed or rolled back.
func (t *Tx) SQL() pgx.Tx { return t.tx }

// AfterCommit implements [es.Tx].
func (t *Tx) AfterCommit(f func()) { t.afterCommit = append(t.afterCommit, f) }

// Append implements [es.Appender]. The stream stays locked until the transaction ends.
func (t *Tx) Append(ctx context.Context, stream es.StreamID, expected es.Expected, events ...es.EventData) (result es.AppendResult, err error) {
	ctx, done := traced.Append(ctx, t.opts.Tracers.Append, stream, len(events))
	defer func() { done(result, err) }()
	p, err := es.Prepare(ctx, stream, expected, events, t.opts.MaxEventBytes)
	if err != nil {
		return es.AppendResult{}, err
	}
	if len(p.Events) == 0 {
		return t.checkExpected(ctx, p)
	}
	r, err := newRequest(p)
	if err != nil {
		return es.AppendResult{}, err
	}
	outcomes, err := t.appendBatch(ctx, t.db, []request{r})
	if err != nil {
		return es.AppendResult{}, fmt.Errorf("append to %s: %w", stream, statementError(err))
	}
	t.appended = t.appended || outcomes[0].written()
	return outcomes[0].result(p)
}

// LockStream implements [es.Tx].
func (t *Tx) LockStream(ctx context.Context, stream es.StreamID) (version int64, err error) {
	if err := stream.Validate(); err != nil {
		return 0, err
	}
	if err := t.db.QueryRow(ctx, t.sql.lockStream, stream.String()).Scan(&version); err != nil {
		return 0, fmt.Errorf("lock %s: %w", stream, statementError(err))
	}
	return version, nil
}
