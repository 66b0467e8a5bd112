package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
)

// Pipeline is the store for handlers that only write: they queue their statements,
// which are then sent together with the progress in one round trip. It implements
// es.Transactor. Safe for concurrent use.
type Pipeline struct {
	store *Store
}

var _ es.Transactor[*pgx.Batch] = Pipeline{}

// Pipeline returns the store for handlers that queue their statements.
func (s *Store) Pipeline() Pipeline { return Pipeline{store: s} }

// Deliver implements [es.Transactor]. f queues statements; they are sent when it
// returns. PostgreSQL runs a pipeline as one transaction, so f must not queue any that
// begins or ends one.
//
// Functions that are put on queued statements to read their results run before the
// commit, and an error of one of them is returned as it is and undoes everything. The
// price is a transaction with round trips of its own.
func (p Pipeline) Deliver(ctx context.Context, f func(batch *pgx.Batch) error, progress es.Progress) error {
	args, err := progressArgs(progress)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	if err := f(batch); err != nil {
		return err
	}
	reads := slices.ContainsFunc(batch.QueuedQueries, func(q *pgx.QueuedQuery) bool { return q.Fn != nil })
	batch.Queue(p.store.sql.saveProgress, args...)
	if reads {
		return p.store.within(ctx, begin, func(tx pgx.Tx) error {
			err := batchError(progress, tx.SendBatch(ctx, batch).Close(), statementError)
			switch {
			case err == nil || isAnswer(err) || errors.Is(err, es.ErrBusy):
				return err
			case tx.Conn().IsClosed():
				return fmt.Errorf("%w: %w", es.ErrInterrupted, err)
			}
			return fmt.Errorf("%w: %w", es.ErrRejected, err) // also what a function for a result returns
		})
	}
	return p.send(ctx, batch, progress)
}

// send sends a batch as a transaction of its own.
func (p Pipeline) send(ctx context.Context, batch *pgx.Batch, progress es.Progress) error {
	conn, err := p.store.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("no connection, nothing was written: %w", err)
	}
	defer conn.Release() // which drops a connection with an open transaction
	if err := notSent(ctx, conn.Conn()); err != nil {
		return err
	}
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return batchError(progress, err, commitError)
	}
	if conn.Conn().PgConn().TxStatus() != 'I' {
		return errors.New("a queued statement has begun a transaction, nothing was written; the pipeline is one already")
	}
	return nil
}

// TakeOver implements [es.Transactor].
func (p Pipeline) TakeOver(ctx context.Context, t es.TakeOver, f func(batch *pgx.Batch) error) (bool, error) {
	if f == nil {
		return p.store.TakeOver(ctx, t, nil)
	}
	return p.store.TakeOver(ctx, t, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		if err := f(batch); err != nil {
			return err
		}
		return statementError(tx.SendBatch(ctx, batch).Close())
	})
}

// batchError says what an error of a batch means. What pgx could not even encode or
// prepare, it did not send.
func batchError(p es.Progress, err error, other func(error) error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[pgx.ErrPreprocessingBatch](err); ok {
		return fmt.Errorf("%w: %w", es.ErrRejected, statementError(err))
	}
	if refused := progressError(p, err, other); isAnswer(refused) {
		return refused
	}
	return rejected(other(err))
}

// isAnswer tells an error by which progress was refused.
func isAnswer(err error) bool {
	return errors.Is(err, es.ErrStaleCheckpoint) || errors.Is(err, es.ErrNotParked) || errors.Is(err, es.ErrLostCheckpoint)
}
