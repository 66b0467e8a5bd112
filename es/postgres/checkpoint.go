package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

// LoadCheckpoint implements [es.Checkpointer].
func (s *session) LoadCheckpoint(ctx context.Context, subscription string) (es.Checkpoint, int64, error) {
	var text *string // NULL after a reset
	var revision int64
	err := s.db.QueryRow(ctx, s.sql.loadCheckpoint, subscription).Scan(&text, &revision)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return "", 0, nil
	case err != nil:
		return "", 0, fmt.Errorf("load the checkpoint of subscription %q: %w", subscription, err)
	case text == nil:
		return "", revision, nil
	}
	return es.Checkpoint(*text), revision, nil
}

// SaveCheckpoint implements [es.Checkpointer]. In a transaction it takes effect
// together with everything else in it.
func (s *session) SaveCheckpoint(ctx context.Context, subscription string, revision int64, cp es.Checkpoint) (int64, error) {
	var text *string
	if cp != "" {
		text = new(string(window.Durable(cp)))
	}
	var saved int64
	err := s.db.QueryRow(ctx, s.sql.saveCheckpoint, subscription, revision, text).Scan(&saved)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, &es.StaleCheckpointError{Subscription: subscription, Revision: revision}
	}
	if err != nil {
		return 0, fmt.Errorf("save the checkpoint of subscription %q: %w", subscription, statementError(err))
	}
	return saved, nil
}
