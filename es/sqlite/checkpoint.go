package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/parking"
)

var _ es.Checkpointer = (*Store)(nil)

// LoadCheckpoint implements [es.Checkpointer].
func (s *session) LoadCheckpoint(ctx context.Context, subscription string) (es.Checkpoint, int64, error) {
	var text sql.NullString // NULL after a reset
	var revision int64
	err := queryRow(ctx, s.db, s.sql.loadCheckpoint, []any{subscription}, &text, &revision)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", 0, fmt.Errorf("load the checkpoint of subscription %q: %w", subscription, statementError(err))
	}
	return es.Checkpoint(text.String), revision, nil
}

// ClaimCheckpoint implements [es.Checkpointer].
func (s *Store) ClaimCheckpoint(ctx context.Context, subscription, holder string) (es.Checkpoint, int64, error) {
	var text sql.NullString
	var revision int64
	err := s.change(ctx, func(ctx context.Context, in *session) error {
		number, err := in.countClaim(ctx, subscription)
		if err != nil {
			return err
		}
		return queryRow(ctx, in.db, in.sql.claim, []any{subscription, number, holder, time.Now().UnixMicro()}, &text, &revision)
	})
	if err != nil {
		return "", 0, fmt.Errorf("claim subscription %q: %w", subscription, statementError(err))
	}
	return es.Checkpoint(text.String), revision, nil
}

// countClaim returns the number of a new claim.
func (s *session) countClaim(ctx context.Context, subscription string) (number int64, err error) {
	err = queryRow(ctx, s.db, s.sql.countClaim, []any{subscription}, &number)
	return number, err
}

// SaveProgress implements [es.Checkpointer]. It shares its commit with appends.
func (s *Store) SaveProgress(ctx context.Context, p es.Progress) error {
	if err := validate(p); err != nil {
		return err
	}
	return s.change(ctx, func(ctx context.Context, in *session) error { return in.saveProgress(ctx, p) })
}

// SaveProgress does what Store.SaveProgress does: it takes effect together with
// everything else in the transaction.
func (t *Tx) SaveProgress(ctx context.Context, p es.Progress) error {
	if err := validate(p); err != nil {
		return err
	}
	return t.atomic(ctx, func(ctx context.Context) error { return t.saveProgress(ctx, p) })
}

// validate refuses what could not be read again.
func validate(p es.Progress) error {
	for _, f := range p.Park {
		if err := f.Stream.Validate(); err != nil {
			return fmt.Errorf("park position %d of subscription %q: %w", f.Position, p.Subscription, err)
		}
	}
	return nil
}

// saveProgress stores progress, beginning with what a stale one fails at.
func (s *session) saveProgress(ctx context.Context, p es.Progress) error {
	if err := s.checkParked(ctx, p); err != nil {
		return err
	}
	now := time.Now().UnixMicro()
	text := sql.NullString{String: string(p.Checkpoint), Valid: p.Checkpoint != ""}
	var saved int64
	err := queryRow(ctx, s.db, s.sql.saveProgress, []any{p.Subscription, p.Revision, text, now}, &saved)
	if errors.Is(err, sql.ErrNoRows) {
		return &es.StaleCheckpointError{Subscription: p.Subscription, Revision: p.Revision}
	}
	if err == nil {
		err = s.park(ctx, p, now)
	}
	if err != nil {
		return fmt.Errorf("save the progress of subscription %q: %w", p.Subscription, statementError(err))
	}
	return nil
}

// checkParked reports whether all is parked that is to be taken back, and whatever
// events are to wait for. Nothing may be written before it: a refusal undoes nothing.
func (s *session) checkParked(ctx context.Context, p es.Progress) error {
	parked, err := s.allParked(ctx, p)
	if err == nil && !parked {
		// Who was overtaken is to know that, and not what the other one has done.
		_, revision, loadErr := s.LoadCheckpoint(ctx, p.Subscription)
		if err = cmp.Or(loadErr, es.ErrNotParked); loadErr == nil && revision != p.Revision {
			return &es.StaleCheckpointError{Subscription: p.Subscription, Revision: p.Revision}
		}
	}
	if err != nil {
		return fmt.Errorf("save the progress of subscription %q: %w", p.Subscription, statementError(err))
	}
	return nil
}

func (s *session) allParked(ctx context.Context, p es.Progress) (bool, error) {
	if len(p.Unpark) > 0 {
		n := 0
		err := queryRow(ctx, s.db, s.sql.countParked, []any{p.Subscription, array(p.Unpark)}, &n)
		if err != nil || n < len(p.Unpark) {
			return false, err
		}
	}
	for _, stream := range parking.Waiting(p.Park) {
		parked := false
		err := queryRow(ctx, s.db, s.sql.isParked, []any{p.Subscription, stream.String(), array(p.Unpark)}, &parked)
		if err != nil || !parked {
			return false, err
		}
	}
	return true, nil
}

// park takes events back and sets others aside.
func (s *session) park(ctx context.Context, p es.Progress, now int64) error {
	for _, position := range p.Unpark {
		if _, err := s.db.ExecContext(ctx, s.sql.unpark, p.Subscription, position); err != nil {
			return err
		}
	}
	for _, f := range p.Park {
		_, err := s.db.ExecContext(ctx, s.sql.park, p.Subscription, f.Position, f.Stream.String(), f.Version, f.Error, f.Attempts, now)
		if err != nil {
			return err
		}
	}
	return nil
}
