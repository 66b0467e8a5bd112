package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/internal/traced"
	"github.com/peatlog/peat/internal/groupcommit"
)

// write is one caller's part of a batch.
type write func(ctx context.Context, s *session) (es.AppendResult, error)

// outcome is what the caller of a write gets.
type outcome struct {
	result es.AppendResult
	err    error
}

// Append implements [es.Appender]. Concurrent appends share a commit. Its outcome
// is always known: an append whose context ends while it waits is withdrawn, and
// one that is being written is waited for, which takes as long as one commit.
func (s *Store) Append(ctx context.Context, stream es.StreamID, expected es.Expected, events ...es.EventData) (result es.AppendResult, err error) {
	ctx, done := traced.Append(ctx, s.opts.Tracers.Append, stream, len(events))
	defer func() { done(result, err) }()
	p, err := es.Prepare(ctx, stream, expected, events, s.opts.MaxEventBytes)
	if err != nil {
		return es.AppendResult{}, err
	}
	if len(p.Events) == 0 {
		return s.checkExpected(ctx, p)
	}
	result, err = s.write(ctx, func(ctx context.Context, in *session) (es.AppendResult, error) { return in.append(ctx, p) })
	if err != nil && !errors.Is(err, es.ErrConflict) {
		err = fmt.Errorf("append to %s: %w", stream, err)
	}
	return result, err
}

// WriteSnapshot implements [es.Snapshotter].
func (s *Store) WriteSnapshot(ctx context.Context, snap es.Snapshot) error {
	if err := snap.Stream.Validate(); err != nil {
		return err
	}
	err := s.change(ctx, func(ctx context.Context, in *session) error { return in.writeSnapshot(ctx, snap) })
	if err != nil {
		return fmt.Errorf("write the snapshot of %s: %w", snap.Stream, err)
	}
	return nil
}

// DeleteSnapshots implements [es.Snapshotter].
func (s *Store) DeleteSnapshots(ctx context.Context, category string) (n int, err error) {
	if err := es.ValidateCategory(category); err != nil {
		return 0, err
	}
	err = s.change(ctx, func(ctx context.Context, in *session) (err error) {
		n, err = in.exec(ctx, in.sql.deleteSnapshots, category)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("delete the snapshots of %s: %w", category, err)
	}
	return n, nil
}

// change has f written in some batch: something else than an append. f may run twice,
// when something else in the batch fails.
func (s *Store) change(ctx context.Context, f func(ctx context.Context, in *session) error) error {
	_, err := s.write(ctx, func(ctx context.Context, in *session) (es.AppendResult, error) {
		return es.AppendResult{}, f(ctx, in)
	})
	return err
}

// write has w written in some batch.
func (s *Store) write(ctx context.Context, w write) (es.AppendResult, error) {
	waiting, cancel := s.patience(ctx)
	defer cancel()
	o, err := s.queue.Do(waiting, w)
	if err != nil {
		return es.AppendResult{}, waitError(ctx, err)
	}
	return o.result, o.err
}

// patience bounds how long a call waits for the writer.
func (s *Store) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.opts.BusyTimeout)
}

// waitError is the error of a wait under patience, for the caller with context ctx.
func waitError(ctx context.Context, err error) error {
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: somebody else kept the write lock for the whole BusyTimeout", es.ErrBusy)
	}
	return statementError(err)
}

// flush writes one batch. The batch is taken when the write lock is there already,
// so that whoever gives up waiting for it is withdrawn.
func (s *Store) flush(ctx context.Context, take groupcommit.Take[write]) ([]outcome, error) {
	tx, end, err := s.begin(ctx, context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	defer end()
	ctx, batch := take()
	outcomes, err := s.writeBatch(ctx, tx, batch)
	if err == nil {
		return outcomes, nil
	}
	if len(batch) == 1 || errors.Is(err, es.ErrOutcomeUnknown) {
		return nil, err
	}
	end() // each begins anew
	for i := range batch {
		outcomes[i] = s.writeAlone(ctx, batch[i])
	}
	return outcomes, nil
}

// begin starts a write transaction that ends with lasting, or with the function
// that it returns: the writer's one connection and the file's lock, which are given
// back together. It waits for the lock as long as waiting lasts; once there, the
// transaction does not end with waiting.
func (s *Store) begin(waiting, lasting context.Context) (*sql.Tx, context.CancelFunc, error) {
	if s.writer.closed.Load() {
		return nil, nil, ErrClosed
	}
	select { // in the order that they came, which database/sql does not keep
	case s.turn <- struct{}{}:
	case <-waiting.Done():
		return nil, nil, waiting.Err()
	}
	lasting, cancel := context.WithCancel(lasting)
	end := sync.OnceFunc(func() { cancel(); <-s.turn })
	stop := context.AfterFunc(waiting, cancel)
	tx, err := s.writer.db.BeginTx(lasting, nil)
	if !stop() { // so the transaction has ended as well, or is about to
		err = waiting.Err()
	}
	if err != nil && s.writer.closed.Load() {
		err = ErrClosed // while it was waiting
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	return tx, end, nil
}

// writeBatch writes all of the batch and commits, or nothing.
func (s *Store) writeBatch(ctx context.Context, tx *sql.Tx, batch []write) ([]outcome, error) {
	defer tx.Rollback() //nolint:errcheck // without effect after a commit
	in := &session{db: s.writer.in(ctx, tx), sql: s.sql, opts: s.opts}
	outcomes := make([]outcome, len(batch))
	for i, w := range batch {
		o := &outcomes[i]
		if o.result, o.err = w(ctx, in); o.err != nil && !isAnswer(o.err) {
			return outcomes, o.err
		}
	}
	if err := tx.Commit(); err != nil {
		return outcomes, fmt.Errorf("commit: %w", commitError(err))
	}
	if slices.ContainsFunc(outcomes, func(o outcome) bool { return o.err == nil && appended(o.result) }) {
		s.Wake()
	}
	return outcomes, nil
}

// appended tells whether an append has put something into the log.
func appended(r es.AppendResult) bool { return r.Position > 0 && !r.Duplicate }

// answers are the errors that changed nothing and concern one caller only.
var answers = []error{es.ErrConflict, es.ErrStaleCheckpoint, es.ErrNotParked, es.ErrRebuilding, es.ErrNotRebuilding}

func isAnswer(err error) bool {
	return slices.ContainsFunc(answers, func(answer error) bool { return errors.Is(err, answer) })
}

// writeAlone writes what was in a batch that failed, so that only those fail whose
// fault it was.
func (s *Store) writeAlone(ctx context.Context, w write) outcome {
	tx, end, err := s.begin(ctx, ctx)
	if err != nil {
		return outcome{err: statementError(err)}
	}
	defer end()
	outcomes, err := s.writeBatch(ctx, tx, []write{w})
	if err != nil {
		return outcome{err: err}
	}
	return outcomes[0]
}
