package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
)

// querier is what a pool, a connection and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// session is what a store does alike inside and outside a transaction.
type session struct {
	db   querier
	sql  queries
	opts Options
}

// checkExpected is an append without events.
func (s *session) checkExpected(ctx context.Context, p es.Prepared) (es.AppendResult, error) {
	actual, err := s.streamVersion(ctx, p.Stream)
	if err != nil {
		return es.AppendResult{}, fmt.Errorf("append to %s: %w", p.Stream, err)
	}
	if !p.Expected.Admits(actual) {
		return es.AppendResult{}, &es.ConflictError{Stream: p.Stream, Expected: p.Expected, Actual: actual}
	}
	return es.AppendResult{Version: actual}, nil
}

func (s *session) streamVersion(ctx context.Context, stream es.StreamID) (version int64, err error) {
	err = s.db.QueryRow(ctx, s.sql.streamVersion, stream.String()).Scan(&version)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return version, err
}

// ReadSnapshot implements [es.Snapshotter].
func (s *session) ReadSnapshot(ctx context.Context, stream es.StreamID) (es.Snapshot, bool, error) {
	snap := es.Snapshot{Stream: stream}
	err := s.db.QueryRow(ctx, s.sql.readSnapshot, stream.String()).Scan(&snap.Version, &snap.EventID, &snap.Schema, &snap.Data)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return es.Snapshot{}, false, nil
	case err != nil:
		return es.Snapshot{}, false, fmt.Errorf("read the snapshot of %s: %w", stream, err)
	}
	return snap, true, nil
}

// WriteSnapshot implements [es.Snapshotter].
func (s *session) WriteSnapshot(ctx context.Context, snap es.Snapshot) error {
	if err := snap.Stream.Validate(); err != nil {
		return err
	}
	rows, err := s.db.Query(ctx, s.sql.writeSnapshot, snap.Stream.String(), snap.Version, snap.EventID, snap.Schema, snap.Data)
	if err == nil {
		rows.Close()
		err = rows.Err()
	}
	if err != nil {
		return fmt.Errorf("write the snapshot of %s: %w", snap.Stream, err)
	}
	return nil
}
