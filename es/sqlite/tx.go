package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/internal/traced"
)

// Tx is the store inside a transaction. It implements es.Tx and belongs to one
// goroutine. A conflict is an answer and leaves the transaction usable; so does an
// append that fails, because it is undone on its own.
type Tx struct {
	session
	tx          *sql.Tx
	broken      error
	appended    bool
	afterCommit []func()
}

var _ es.Tx = (*Tx)(nil)

// InTx runs f in a transaction of its own and commits it. If f returns an error
// or panics, or ctx ends, everything in it is rolled back, and InTx returns f's
// error as it is or goes on panicking.
//
// The transaction holds the file's write lock from the beginning, so that no
// other write gets between, not even to another stream: others wait, up to their
// BusyTimeout, then they get es.ErrBusy. A call of the Store itself that writes
// must therefore not be made from within f. Functions given to AfterCommit run
// when the lock is free again.
func (s *Store) InTx(ctx context.Context, f func(tx *Tx) error) error {
	t := &Tx{}
	if err := s.inTx(ctx, t, f); err != nil {
		return err
	}
	if t.appended {
		s.Wake()
	}
	for _, f := range t.afterCommit {
		f()
	}
	return nil
}

func (s *Store) inTx(ctx context.Context, t *Tx, f func(tx *Tx) error) error {
	waiting, cancel := s.patience(ctx)
	defer cancel()
	tx, end, err := s.begin(waiting, ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", waitError(ctx, err))
	}
	defer end()
	// Without effect after a commit. When ctx ends, database/sql has done it, or
	// is about to, and the connection is not used before.
	defer tx.Rollback() //nolint:errcheck // see above
	t.session, t.tx = session{db: s.writer.in(ctx, tx), sql: s.sql, opts: s.opts}, tx
	if err := f(t); err != nil {
		return err
	}
	if t.broken != nil {
		return t.broken
	}
	err = tx.Commit()
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		err = ctx.Err() // ended it before the commit
	}
	if err != nil {
		return fmt.Errorf("commit: %w", commitError(err))
	}
	return nil
}

// Join returns the store inside a transaction that the caller began, on any handle
// of modernc.org/sqlite to the same file, and will end. Join a transaction once:
// what is known of it, such as which aggregates it saved, is kept in the Tx.
// Functions given to AfterCommit never run, because the commit is the caller's; call
// [Store.Wake] after one that has appended, so that readers of this store need not
// find out by themselves. [Store.Deliver] and [Store.TakeOver] do so.
//
// A transaction should begin with BEGIN IMMEDIATE (_txlock=immediate in the data
// source name). One that has only read so far fails with es.ErrBusy at its first
// append if somebody else has written meanwhile.
func (s *Store) Join(tx *sql.Tx) *Tx {
	return &Tx{session: session{db: tx, sql: s.sql, opts: s.opts}, tx: tx}
}

// SQL returns the transaction for the caller's own statements. Inside InTx it
// must not be committed or rolled back. Statements belong under the context that
// was given to InTx: interrupting a single one ends the whole transaction.
func (t *Tx) SQL() *sql.Tx { return t.tx }

// AfterCommit implements [es.Tx].
func (t *Tx) AfterCommit(f func()) { t.afterCommit = append(t.afterCommit, f) }

// Append implements [es.Appender].
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
	err = t.atomic(ctx, func(ctx context.Context) (err error) {
		result, err = t.append(ctx, p)
		return err
	})
	t.appended = t.appended || err == nil && appended(result)
	if err != nil && !errors.Is(err, es.ErrConflict) {
		err = fmt.Errorf("append to %s: %w", stream, err)
	}
	return result, err
}

// WriteSnapshot implements [es.Snapshotter].
func (t *Tx) WriteSnapshot(ctx context.Context, snap es.Snapshot) error {
	if err := snap.Stream.Validate(); err != nil {
		return err
	}
	err := t.atomic(ctx, func(ctx context.Context) error { return t.writeSnapshot(ctx, snap) })
	if err != nil {
		return fmt.Errorf("write the snapshot of %s: %w", snap.Stream, err)
	}
	return nil
}

// DeleteSnapshots implements [es.Snapshotter].
func (t *Tx) DeleteSnapshots(ctx context.Context, category string) (n int, err error) {
	if err := es.ValidateCategory(category); err != nil {
		return 0, err
	}
	err = t.atomic(ctx, func(ctx context.Context) (err error) {
		n, err = t.exec(ctx, t.sql.deleteSnapshots, category)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("delete the snapshots of %s: %w", category, err)
	}
	return n, nil
}

// LockStream implements [es.Tx]. The lock is the file's write lock, which a
// transaction of InTx has from the beginning: every other writer waits.
func (t *Tx) LockStream(ctx context.Context, stream es.StreamID) (version int64, err error) {
	if err := stream.Validate(); err != nil {
		return 0, err
	}
	err = t.atomic(ctx, func(ctx context.Context) error {
		return queryRow(ctx, t.db, t.sql.lockStream, []any{stream.String()}, &version)
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("lock %s: %w", stream, err)
	}
	return version, nil
}

// atomic runs statements that write, all or none of them. They are not
// interrupted when ctx ends: SQLite would roll back the whole transaction and run
// what follows outside of any.
func (t *Tx) atomic(ctx context.Context, f func(ctx context.Context) error) error {
	if err := errors.Join(ctx.Err(), t.broken); err != nil {
		return err
	}
	uninterrupted := context.WithoutCancel(ctx)
	exec := func(text string) error {
		_, err := t.db.ExecContext(uninterrupted, text)
		return err
	}
	if err := exec(t.sql.savepoint); err != nil {
		return statementError(err)
	}
	err := f(uninterrupted)
	if err != nil {
		if undo := exec(t.sql.rollbackTo); undo != nil {
			// SQLite has ended the transaction, as it does when the disk is full.
			t.broken = fmt.Errorf("the transaction was rolled back: %w", err)
		}
	}
	if t.broken == nil {
		if release := exec(t.sql.release); err == nil {
			err = release
		}
	}
	return statementError(err)
}
