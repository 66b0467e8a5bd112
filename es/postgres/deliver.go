package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/peatlog/peat/es"
)

var _ es.Transactor[pgx.Tx] = (*Store)(nil)

// idleInTransaction is how long a transaction of the store's own may stand still: a
// process that is frozen in the middle of one must not hold its locks for ever.
const idleInTransaction = time.Minute

var begin = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = " +
	strconv.FormatInt(idleInTransaction.Milliseconds(), 10)

// deliveryLock is the advisory lock that transactions hold in which events of a
// subscription are delivered, together with others. It makes nobody wait; whoever
// takes the subscription over finds by it what is still under way.
func (s *session) deliveryLock(subscription string) int64 {
	sum := sha256.Sum256([]byte(s.opts.Schema + "\x00delivery\x00" + subscription))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// Deliver implements [es.Transactor]. f must neither commit the transaction nor roll
// it back. The isolation level is READ COMMITTED. The server ends the transaction when f
// does nothing in it for a minute, or when another reader claims the subscription.
//
// f may append to the log through [Store.Join]. Readers hear of such events at their
// next poll, or at once if the caller calls [Store.Wake] after Deliver.
func (s *Store) Deliver(ctx context.Context, f func(tx pgx.Tx) error, p es.Progress) error {
	handled := false
	lock := "; SELECT pg_advisory_xact_lock_shared(" + strconv.FormatInt(s.deliveryLock(p.Subscription), 10) + ")"
	err := s.within(ctx, begin+lock, func(tx pgx.Tx) error {
		if err := f(tx); err != nil {
			return interrupted(tx, err)
		}
		handled = true
		return interrupted(tx, s.saveProgress(ctx, tx, p))
	})
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); handled && ok && pgErr.Code == "25P02" || errors.Is(err, pgx.ErrTxCommitRollback) {
		return fmt.Errorf("%w: an error of an earlier statement was not returned: %w", es.ErrRejected, err)
	}
	return err
}

// interrupted says whether an error comes from outside of what the transaction does. One
// that ends with the handler's context does not.
func interrupted(tx pgx.Tx, err error) error {
	if err == nil {
		return nil
	}
	ended := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	if tx.Conn().IsClosed() && !ended {
		return fmt.Errorf("%w: %w", es.ErrInterrupted, err)
	}
	if busy := statementError(err); errors.Is(busy, es.ErrBusy) {
		return busy
	}
	return err
}

// within runs f in a transaction that begins so, and commits it. An error of f is
// returned as it is.
func (s *Store) within(ctx context.Context, begin string, f func(tx pgx.Tx) error) error {
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: begin})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	// Without effect after a commit. It must also reach the server when ctx is done.
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // the connection is dropped then
	if err := f(tx); err != nil {
		return err
	}
	if err := notSent(ctx, tx.Conn()); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", rejected(commitError(err)))
	}
	return nil
}

// rejected tells that the server refused what a transaction has done.
func rejected(err error) error {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || pgErr.SeverityUnlocalized != "ERROR" || errors.Is(err, es.ErrBusy) || errors.Is(err, es.ErrStaleCheckpoint) {
		return err
	}
	return fmt.Errorf("%w: %w", es.ErrRejected, err)
}

// limitLocks bounds the waiting for locks in the rest of a transaction.
func (s *session) limitLocks(ctx context.Context, tx pgx.Tx, d time.Duration) error {
	_, err := tx.Exec(ctx, s.sql.lockTimeout, strconv.FormatInt(d.Milliseconds(), 10))
	return err
}
