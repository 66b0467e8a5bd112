package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/peatlog/peat/es"
)

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

// SaveCheckpoint implements [es.Checkpointer]. It shares its commit with appends.
func (s *Store) SaveCheckpoint(ctx context.Context, subscription string, revision int64, cp es.Checkpoint) (saved int64, err error) {
	_, err = s.write(ctx, func(ctx context.Context, in *session) (_ es.AppendResult, err error) {
		saved, err = in.saveCheckpoint(ctx, subscription, revision, cp)
		return es.AppendResult{}, err
	})
	return saved, err
}

// SaveCheckpoint implements [es.Checkpointer]: it takes effect together with
// everything else in the transaction.
func (t *Tx) SaveCheckpoint(ctx context.Context, subscription string, revision int64, cp es.Checkpoint) (saved int64, err error) {
	err = t.atomic(ctx, func(ctx context.Context) (err error) {
		saved, err = t.saveCheckpoint(ctx, subscription, revision, cp)
		return err
	})
	return saved, err
}

func (s *session) saveCheckpoint(ctx context.Context, subscription string, revision int64, cp es.Checkpoint) (saved int64, err error) {
	text := sql.NullString{String: string(cp), Valid: cp != ""}
	err = queryRow(ctx, s.db, s.sql.saveCheckpoint, []any{subscription, revision, text, time.Now().UnixMicro()}, &saved)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, &es.StaleCheckpointError{Subscription: subscription, Revision: revision}
	}
	if err != nil {
		return 0, fmt.Errorf("save the checkpoint of subscription %q: %w", subscription, statementError(err))
	}
	return saved, nil
}
