package proptest

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

// Tx is the log inside a transaction. It belongs to one goroutine.
type Tx struct {
	log         *Log
	t           *transaction
	appended    bool
	afterCommit []func()
}

var _ es.Tx = (*Tx)(nil)

// Begin begins a transaction that the caller ends with [Tx.Commit], [Tx.CommitAsync] or
// [Tx.Rollback]. Any number can be open; one goroutine can lead them all, because none
// waits: what would have to wait for a lock that another one holds gives es.ErrBusy, which
// leaves the transaction as it was.
func (l *Log) Begin() *Tx {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &Tx{log: l, t: l.db.begin(nil)}
}

// InTx runs f in a transaction of its own and commits it. If f returns an error or
// panics, everything in it is rolled back, and InTx returns that error as it is or goes
// on panicking. Unlike those of [Log.Begin], it waits for the locks of others.
func (l *Log) InTx(ctx context.Context, f func(tx *Tx) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	tx, end := l.open(ctx)
	defer end()
	if err := f(tx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return tx.Commit()
}

// open begins a transaction that waits, and returns what undoes it unless it was committed.
func (l *Log) open(ctx context.Context) (tx *Tx, end func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	tx = &Tx{log: l, t: l.begin(ctx)}
	return tx, tx.Rollback
}

// do runs a statement.
func (tx *Tx) do(ctx context.Context, f func(t *transaction) error) error {
	tx.log.mu.Lock()
	defer tx.log.mu.Unlock()
	if err := errors.Join(ctx.Err(), tx.t.check()); err != nil {
		return err
	}
	return f(tx.t)
}

// busy returns es.ErrBusy if the row of a stream is locked by another transaction and
// this one does not wait.
func (tx *Tx) busy(stream es.StreamID) error {
	held := tx.log.db.locks[lockKey{"streams", stream.String()}]
	if tx.t.wait != nil || held == nil || held.holder != nil && held.holder.transaction == tx.t {
		return nil
	}
	return fmt.Errorf("%w: another transaction has locked %s", es.ErrBusy, stream)
}

// Append implements [es.Appender]. The stream stays locked until the transaction ends.
func (tx *Tx) Append(ctx context.Context, stream es.StreamID, expected es.Expected, events ...es.EventData) (es.AppendResult, error) {
	p, err := es.Prepare(ctx, stream, expected, events, tx.log.opts.MaxEventBytes)
	if err != nil {
		return es.AppendResult{}, err
	}
	var o outcome
	err = tx.do(ctx, func(t *transaction) (err error) {
		if err := tx.busy(stream); err != nil && len(events) > 0 {
			return err
		}
		o, err = tx.log.db.appendOne(t, p)
		return err
	})
	if err != nil {
		return es.AppendResult{}, fmt.Errorf("append to %s: %w", stream, err)
	}
	tx.appended = tx.appended || o.written && len(events) > 0
	return o.result(p)
}

// LockStream implements [es.Tx].
func (tx *Tx) LockStream(ctx context.Context, stream es.StreamID) (version int64, err error) {
	if err := stream.Validate(); err != nil {
		return 0, err
	}
	err = tx.do(ctx, func(t *transaction) error {
		if err := tx.busy(stream); err != nil {
			return err
		}
		_, there := tx.log.db.streams.get(t, stream.String())
		if err := tx.log.db.lockStream(t, stream.String(), there); err != nil {
			t.fail()
			return err
		}
		row, _ := tx.log.db.streams.get(t, stream.String())
		version = row.version
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("lock %s: %w", stream, err)
	}
	return version, nil
}

// ReadStream implements [es.StreamReader].
func (tx *Tx) ReadStream(ctx context.Context, stream es.StreamID, opts es.ReadOptions) iter.Seq2[es.Recorded, error] {
	return tx.log.readStream(ctx, tx.t, stream, opts)
}

// ReadAll implements [es.LogReader].
func (tx *Tx) ReadAll(ctx context.Context, opts es.ReadAllOptions) iter.Seq2[es.Recorded, error] {
	return tx.log.readAll(ctx, tx.t, opts)
}

// ReadSnapshot implements [es.Snapshotter].
func (tx *Tx) ReadSnapshot(ctx context.Context, stream es.StreamID) (es.Snapshot, bool, error) {
	return tx.log.readSnapshot(ctx, tx.t, stream)
}

// WriteSnapshot implements [es.Snapshotter].
func (tx *Tx) WriteSnapshot(ctx context.Context, s es.Snapshot) error {
	return tx.do(ctx, func(t *transaction) error { return tx.log.db.writeSnapshot(t, s) })
}

// DeleteSnapshots implements [es.Snapshotter].
func (tx *Tx) DeleteSnapshots(ctx context.Context, category string) (n int, err error) {
	err = tx.do(ctx, func(t *transaction) (err error) {
		n, err = tx.log.db.deleteSnapshots(t, category)
		return err
	})
	return n, err
}

// FindEvents implements [es.EventFinder].
func (tx *Tx) FindEvents(ctx context.Context, ids ...uuid.UUID) ([]es.Recorded, error) {
	return tx.log.findEvents(ctx, tx.t, ids)
}

// AfterCommit implements [es.Tx].
func (tx *Tx) AfterCommit(f func()) { tx.afterCommit = append(tx.afterCommit, f) }

// Touch gives the transaction its id, which pins a Settled reader until the end.
func (tx *Tx) Touch() error {
	return tx.do(context.Background(), func(t *transaction) error {
		t.top()
		return nil
	})
}

// Savepoint opens a savepoint, and RollbackTo undoes what was done since.
func (tx *Tx) Savepoint(name string) error {
	return tx.do(context.Background(), func(t *transaction) error { return t.savepoint(name) })
}

// RollbackTo undoes what was done since the savepoint, the last one of this name, which
// stays open.
func (tx *Tx) RollbackTo(name string) error {
	tx.log.mu.Lock()
	defer tx.log.mu.Unlock()
	return tx.t.rollbackTo(name)
}

// Commit makes visible, and durable, what was done.
func (tx *Tx) Commit() error { return tx.commit(false) }

// CommitAsync makes visible what was done, but not durable: a crash can undo it, as with
// synchronous_commit = off. The next durable commit makes it durable, too.
func (tx *Tx) CommitAsync() error { return tx.commit(true) }

func (tx *Tx) commit(async bool) error {
	tx.log.mu.Lock()
	tx.t.async = async
	err := tx.t.commit()
	tx.log.mu.Unlock()
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if tx.appended {
		tx.log.listeners.Call()
	}
	for _, f := range tx.afterCommit {
		f()
	}
	return nil
}

// Rollback undoes everything. After the end of the transaction it does nothing.
func (tx *Tx) Rollback() {
	tx.log.mu.Lock()
	defer tx.log.mu.Unlock()
	tx.t.rollback()
}
