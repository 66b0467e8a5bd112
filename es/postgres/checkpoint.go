package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

var _ es.Checkpointer = (*Store)(nil)

// claimPatience is how long a claim waits for a transaction that is about to store
// progress.
const claimPatience = time.Second

// LoadCheckpoint implements [es.Checkpointer].
func (s *session) LoadCheckpoint(ctx context.Context, subscription string) (es.Checkpoint, int64, error) {
	var text *string // NULL after a reset
	var revision int64
	err := s.db.QueryRow(ctx, s.sql.loadCheckpoint, subscription).Scan(&text, &revision)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, fmt.Errorf("load the checkpoint of subscription %q: %w", subscription, err)
	}
	return checkpoint(text), revision, nil
}

// ClaimCheckpoint implements [es.Checkpointer].
func (s *Store) ClaimCheckpoint(ctx context.Context, subscription, holder string) (es.Checkpoint, int64, error) {
	var text *string
	var revision int64
	err := s.within(ctx, begin, func(tx pgx.Tx) error {
		if err := s.limitLocks(ctx, tx, claimPatience); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, s.sql.endDeliveries, s.deliveryLock(subscription)); err != nil {
			return err
		}
		return tx.QueryRow(ctx, s.sql.claimCheckpoint, subscription, clean(holder)).Scan(&text, &revision)
	})
	if err != nil {
		return "", 0, fmt.Errorf("claim the checkpoint of subscription %q: %w", subscription, statementError(err))
	}
	return checkpoint(text), revision, nil
}

// SaveProgress implements [es.Checkpointer]. It gives es.ErrOutcomeUnknown when the
// connection was lost on the way.
func (s *Store) SaveProgress(ctx context.Context, p es.Progress) error {
	args, err := progressArgs(p)
	if err != nil {
		return err
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("save the progress of subscription %q: %w", p.Subscription, err)
	}
	defer conn.Release()
	if err := notSent(ctx, conn.Conn()); err != nil {
		return fmt.Errorf("save the progress of subscription %q: %w", p.Subscription, err)
	}
	if _, err := conn.Exec(ctx, s.sql.saveProgress, args...); err != nil {
		return progressError(p, err, commitError)
	}
	return nil
}

// SaveProgress stores the progress of a subscription together with everything else in
// the transaction. When it gives es.ErrStaleCheckpoint, the transaction has failed and
// can only be rolled back.
func (t *Tx) SaveProgress(ctx context.Context, p es.Progress) error {
	return t.saveProgress(ctx, t.tx, p)
}

func (s *session) saveProgress(ctx context.Context, tx pgx.Tx, p es.Progress) error {
	args, err := progressArgs(p)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, s.sql.saveProgress, args...); err != nil {
		return progressError(p, err, statementError)
	}
	return nil
}

// progressArgs returns the arguments of save_progress.
func progressArgs(p es.Progress) ([]any, error) {
	var text *string
	incarnation := ""
	if p.Checkpoint != "" {
		var durable es.Checkpoint
		durable, incarnation = window.Durable(p.Checkpoint)
		text = new(string(durable))
	}
	var positions, versions []int64
	var streams, reasons []string
	var attempts []int32
	for _, f := range p.Park {
		if err := f.Stream.Validate(); err != nil {
			return nil, fmt.Errorf("park position %d: %w", f.Position, err)
		}
		positions, versions = append(positions, f.Position), append(versions, f.Version)
		streams, reasons = append(streams, f.Stream.String()), append(reasons, clean(f.Error))
		attempts = append(attempts, int32(min(f.Attempts, 1<<31-1)))
	}
	return []any{p.Subscription, p.Revision, text, incarnation, positions, streams, versions, reasons, attempts, p.Unpark}, nil
}

// progressError recognises the refusal of save_progress; all other errors are left to other.
func progressError(p es.Progress, err error, other func(error) error) error {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case !ok:
	case pgErr.Code == "PEA01":
		return &es.StaleCheckpointError{Subscription: p.Subscription, Revision: p.Revision}
	case pgErr.Code == "PEA02":
		return fmt.Errorf("subscription %q: %w", p.Subscription, es.ErrNotParked)
	case pgErr.Code == "PEA03":
		return fmt.Errorf("subscription %q: %w", p.Subscription, es.ErrLostCheckpoint)
	}
	return fmt.Errorf("save the progress of subscription %q: %w", p.Subscription, other(err))
}

func checkpoint(text *string) es.Checkpoint {
	if text == nil {
		return ""
	}
	return es.Checkpoint(*text)
}

// clean makes a text that came from anywhere, such as an error's, one that PostgreSQL
// takes.
func clean(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
