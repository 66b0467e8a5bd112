package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/peatlog/peat/es"
)

// session is what a store does alike inside and outside a transaction.
type session struct {
	db   querier
	sql  *queries
	opts Options
}

// exec runs a statement and returns how many rows it has changed.
func (s *session) exec(ctx context.Context, text string, args ...any) (int, error) {
	result, err := s.db.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, statementError(err)
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// checkExpected is an append without events. It only reads.
func (s *session) checkExpected(ctx context.Context, p es.Prepared) (es.AppendResult, error) {
	_, actual, err := s.streamHead(ctx, p.Stream)
	if err != nil {
		return es.AppendResult{}, fmt.Errorf("append to %s: %w", p.Stream, err)
	}
	if !p.Expected.Admits(actual) {
		return es.AppendResult{}, conflict(p, actual)
	}
	return es.AppendResult{Version: actual}, nil
}

// streamHead returns the number and the last version of a stream, 0 and 0 for a
// stream without events.
func (s *session) streamHead(ctx context.Context, stream es.StreamID) (number, version int64, err error) {
	err = queryRow(ctx, s.db, s.sql.streamHead, []any{stream.String()}, &number, &version)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, 0, nil
	}
	return number, version, statementError(err)
}

// ReadSnapshot implements [es.Snapshotter].
func (s *session) ReadSnapshot(ctx context.Context, stream es.StreamID) (es.Snapshot, bool, error) {
	snap := es.Snapshot{Stream: stream}
	err := queryRow(ctx, s.db, s.sql.readSnapshot, []any{stream.String()}, &snap.Version, &snap.EventID, &snap.Schema, &snap.Data)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return es.Snapshot{}, false, nil
	case err != nil:
		return es.Snapshot{}, false, fmt.Errorf("read the snapshot of %s: %w", stream, statementError(err))
	}
	return snap, true, nil
}

// writeSnapshot keeps a snapshot whose stream is valid.
func (s *session) writeSnapshot(ctx context.Context, snap es.Snapshot) error {
	_, err := s.db.ExecContext(ctx, s.sql.writeSnapshot,
		snap.Stream.String(), snap.Version, snap.EventID[:], snap.Schema, notNil(snap.Data), time.Now().UnixMicro())
	return err
}

// notNil keeps an empty payload from becoming NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
