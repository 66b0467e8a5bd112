package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/peatlog/peat/es"
)

var _ es.Transactor[*sql.Tx] = (*Store)(nil)

// Deliver implements [es.Transactor]. The transaction is as with [Store.InTx]: it has
// the file's write lock from the beginning, so f must not call what of the Store
// itself writes; [Store.Join] is how it appends. For a reader that was overtaken f
// does not run.
func (s *Store) Deliver(ctx context.Context, f func(tx *sql.Tx) error, p es.Progress) error {
	return s.handle(ctx, func(t *Tx) error {
		// First: should f have its transaction ended, as INSERT OR ROLLBACK does, what
		// is written after it would take effect alone.
		if err := t.SaveProgress(ctx, p); err != nil {
			return err
		}
		return f(t.tx)
	})
}

// errNotCovered rolls back a takeover that comes too early.
var errNotCovered = errors.New("the new generation is behind the live one")

// TakeOver implements [es.Transactor]. Nobody stores progress while it runs, and it
// waits for nobody: it answers at once whether the new generation has come as far.
func (s *Store) TakeOver(ctx context.Context, t es.TakeOver, f func(tx *sql.Tx) error) (bool, error) {
	err := s.handle(ctx, func(tx *Tx) error {
		keep, err := tx.canTakeOver(ctx, t)
		if err != nil {
			return fmt.Errorf("generation %d of %q takes over: %w", t.To, t.Name, err)
		}
		// Before f, for the reason of Deliver.
		err = tx.atomic(ctx, func(ctx context.Context) error { return tx.takeOver(ctx, t, keep) })
		if err != nil {
			return fmt.Errorf("generation %d of %q takes over: %w", t.To, t.Name, err)
		}
		if f == nil {
			return nil
		}
		return f(tx.tx)
	})
	if errors.Is(err, errNotCovered) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s.leases.changed()
	return true, nil
}

// handle runs what a handler does in a transaction, and wakes the readers if it has
// appended, which a joined transaction cannot tell.
func (s *Store) handle(ctx context.Context, f func(t *Tx) error) error {
	var before, after int64
	err := s.inTx(ctx, &Tx{}, func(t *Tx) (err error) {
		if before, err = t.lastPosition(ctx); err != nil {
			return err
		}
		if err := f(t); err != nil {
			return err
		}
		after, err = t.lastPosition(ctx)
		return err
	})
	if err == nil && after > before {
		s.Wake()
	}
	return err
}

// canTakeOver reports whether the live generation is to be kept, and errNotCovered if
// the new one has not come as far.
func (s *session) canTakeOver(ctx context.Context, t es.TakeOver) (keep bool, err error) {
	g, err := s.generations(ctx, t.Name)
	if errors.Is(err, sql.ErrNoRows) || err == nil && (t.To <= 0 || g.Building != t.To) {
		return false, es.ErrNotRebuilding
	}
	if err != nil {
		return false, err
	}
	var reached int64 // by any segment of the live generation
	for _, name := range t.Live {
		position, err := s.position(ctx, name)
		if err != nil {
			return false, err
		}
		reached = max(reached, position)
	}
	for _, name := range t.Next {
		position, err := s.position(ctx, name)
		if err != nil {
			return false, err
		}
		if position < reached {
			return false, errNotCovered
		}
	}
	return g.Keep, nil
}

// position returns the position of a stored checkpoint.
func (s *session) position(ctx context.Context, subscription string) (int64, error) {
	cp, _, err := s.LoadCheckpoint(ctx, subscription)
	if err != nil {
		return 0, err
	}
	c, err := parseCursor(cp)
	if err != nil {
		return 0, fmt.Errorf("subscription %q: %w", subscription, err)
	}
	return c.Position, nil
}

// takeOver makes the new generation the live one. The old one is removed, or from
// now on refused.
func (s *session) takeOver(ctx context.Context, t es.TakeOver, keep bool) error {
	if _, err := s.db.ExecContext(ctx, s.sql.takeOver, t.Name, t.To, time.Now().UnixMicro()); err != nil {
		return err
	}
	if !keep {
		return s.forget(ctx, t.Live)
	}
	for _, name := range t.Live {
		number, err := s.countClaim(ctx, name)
		if err != nil {
			return err
		}
		if _, err := s.db.ExecContext(ctx, s.sql.fence, name, number); err != nil {
			return err
		}
	}
	return nil
}

// forget removes the progress of subscriptions and what they have parked. Whoever
// holds one of them is refused, because its revision is not 0.
func (s *session) forget(ctx context.Context, subscriptions []string) error {
	for _, name := range subscriptions {
		for _, text := range []string{s.sql.forget, s.sql.forgetParked} {
			if _, err := s.db.ExecContext(ctx, text, name); err != nil {
				return err
			}
		}
	}
	return nil
}
