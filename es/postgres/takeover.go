package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

const (
	// takeOverPatience is how long a new generation may take to come as far as the
	// live one, which stands still meanwhile, and takeOverPoll how often it is asked.
	takeOverPatience = 2 * time.Second
	takeOverPoll     = 5 * time.Millisecond
)

// errBehind: the new generation has not come far enough.
var errBehind = errors.New("not as far as the live generation")

// TakeOver implements [es.Transactor]. The live generation stands still at its next
// save while TakeOver waits, at most about two seconds.
//
// Errors to branch on: es.ErrNotRebuilding, es.ErrBusy: nothing took effect;
// es.ErrOutcomeUnknown.
func (s *Store) TakeOver(ctx context.Context, t es.TakeOver, f func(tx pgx.Tx) error) (bool, error) {
	err := s.within(ctx, begin, func(tx pgx.Tx) error {
		keep, err := s.standStill(ctx, tx, t)
		if err != nil {
			return takeOverError(t, err)
		}
		if f != nil {
			if _, err := tx.Exec(ctx, s.sql.lockTimeoutDefault); err != nil {
				return takeOverError(t, err)
			}
			if err := f(tx); err != nil {
				return err
			}
		}
		return takeOverError(t, s.replace(ctx, tx, t, keep))
	})
	if errors.Is(err, errBehind) {
		return false, nil
	}
	return err == nil, err
}

func takeOverError(t es.TakeOver, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("take over projection %q: %w", t.Name, statementError(err))
}

// standStill stops the live generation and waits until the next one has come as far.
// It answers whether the live one is to be kept.
func (s *Store) standStill(ctx context.Context, tx pgx.Tx, t es.TakeOver) (keep bool, err error) {
	if err := s.limitLocks(ctx, tx, takeOverPatience); err != nil {
		return false, err
	}
	err = tx.QueryRow(ctx, s.sql.lockProjection, t.Name, t.To).Scan(&keep)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, es.ErrNotRebuilding
	}
	if err != nil {
		return false, err
	}
	if _, err := tx.Exec(ctx, s.sql.lockSubscriptions, t.Live); err != nil {
		if errors.Is(statementError(err), es.ErrBusy) {
			return false, errBehind // it is in the middle of a long delivery
		}
		return false, err
	}
	poll := time.NewTicker(takeOverPoll)
	defer poll.Stop()
	for deadline := time.Now().Add(takeOverPatience); ; {
		if covered, err := s.covered(ctx, tx, t); covered || err != nil {
			return keep, err
		}
		if time.Now().After(deadline) {
			return false, errBehind
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-poll.C:
		}
	}
}

// covered reports whether each of the next generation's stored checkpoints covers
// each of the live one's.
func (s *Store) covered(ctx context.Context, tx pgx.Tx, t es.TakeOver) (bool, error) {
	rows, err := tx.Query(ctx, s.sql.epochs)
	if err != nil {
		return false, err
	}
	var m moment
	if err := m.scan(rows); err != nil {
		return false, err
	}
	live, err := s.cursors(ctx, tx, m.Epochs, t.Live)
	if err != nil {
		return false, err
	}
	next, err := s.cursors(ctx, tx, m.Epochs, t.Next)
	if err != nil {
		return false, err
	}
	return window.Covered(next, live, m.Epochs, func(w window.Window) (bool, error) { return s.holds(ctx, tx, w) })
}

// cursors returns the stored cursors of subscriptions.
func (s *Store) cursors(ctx context.Context, tx pgx.Tx, epochs window.Epochs, names []string) ([]window.Cursor, error) {
	rows, err := tx.Query(ctx, s.sql.loadCheckpoints, names)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (window.Cursor, error) {
		var text *string
		if err := row.Scan(&text); err != nil {
			return window.Cursor{}, err
		}
		return window.ParseAny(checkpoint(text), epochs)
	})
}

// holds reports whether a window holds any event.
func (s *session) holds(ctx context.Context, db querier, w window.Window) (holds bool, err error) {
	sql, args, err := s.windowSQL(w, es.FeedOptions{MaxEvents: 1}, false)
	if err != nil {
		return false, err
	}
	err = db.QueryRow(ctx, windowIn(s.sql.windowHolds, sql), args...).Scan(&holds)
	return holds, err
}

// replace makes the next generation the live one.
func (s *Store) replace(ctx context.Context, tx pgx.Tx, t es.TakeOver, keep bool) error {
	batch := &pgx.Batch{}
	batch.Queue(s.sql.fence, t.Live)
	batch.Queue(s.sql.takeOver, t.Name)
	if !keep {
		batch.Queue(s.sql.forgetSubscriptions, t.Live)
	}
	s.queueChanged(batch)
	return tx.SendBatch(ctx, batch).Close()
}
