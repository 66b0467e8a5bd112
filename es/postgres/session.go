package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

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
	actual, last, err := s.head(ctx, p.Stream)
	if err != nil {
		return es.AppendResult{}, fmt.Errorf("append to %s: %w", p.Stream, err)
	}
	if !p.Expected.AdmitsLast(actual, last) {
		return es.AppendResult{}, es.Conflict(p.Stream, p.Expected, actual)
	}
	return es.AppendResult{Version: actual}, nil
}

// head returns the last version of a stream and the id of its event, 0 and nil where there
// is none.
func (s *session) head(ctx context.Context, stream es.StreamID) (version int64, last uuid.UUID, err error) {
	var id pgtype.UUID
	err = s.db.QueryRow(ctx, s.sql.streamVersion, stream.String()).Scan(&version, &id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, uuid.Nil, nil
	}
	return version, id.Bytes, err
}

// FindEvents implements [es.EventFinder].
func (s *session) FindEvents(ctx context.Context, ids ...uuid.UUID) ([]es.Recorded, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	args := make(pgtype.FlatArray[pgtype.UUID], len(ids))
	for i, id := range ids {
		args[i] = pgtype.UUID{Bytes: id, Valid: true}
	}
	rows, err := s.db.Query(ctx, s.sql.findEvents, args)
	if err != nil {
		return nil, fmt.Errorf("find events: %w", err)
	}
	p, err := collect(rows, len(ids)+1, math.MaxInt)
	if err != nil {
		return nil, fmt.Errorf("find events: %w", err)
	}
	return p.Events, nil
}

// ReadSnapshot implements [es.Snapshotter].
func (s *session) ReadSnapshot(ctx context.Context, stream es.StreamID) (es.Snapshot, bool, error) {
	snap := es.Snapshot{Stream: stream}
	err := s.db.QueryRow(ctx, s.sql.readSnapshot, stream.String()).Scan(&snap.Version, &snap.EventID, &snap.Schema, &snap.Form, &snap.Data)
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
	rows, err := s.db.Query(ctx, s.sql.writeSnapshot, snap.Stream.String(), snap.Version, snap.EventID, snap.Schema, snap.Form, snap.Data)
	if err == nil {
		rows.Close()
		err = rows.Err()
	}
	if err != nil {
		return fmt.Errorf("write the snapshot of %s: %w", snap.Stream, err)
	}
	return nil
}

// DeleteSnapshots implements [es.Snapshotter].
func (s *session) DeleteSnapshots(ctx context.Context, category string) (int, error) {
	if err := es.ValidateCategory(category); err != nil {
		return 0, err
	}
	rows, err := s.db.Query(ctx, s.sql.deleteSnapshots, category)
	if err != nil {
		return 0, fmt.Errorf("delete the snapshots of %s: %w", category, err)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("delete the snapshots of %s: %w", category, err)
	}
	return int(rows.CommandTag().RowsAffected()), nil
}
