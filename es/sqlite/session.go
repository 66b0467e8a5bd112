package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/page"
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
	head, err := s.streamHead(ctx, p.Stream)
	if err != nil {
		return es.AppendResult{}, fmt.Errorf("append to %s: %w", p.Stream, err)
	}
	if !p.Expected.AdmitsLast(head.version, head.last) {
		return es.AppendResult{}, conflict(p, head.version)
	}
	return es.AppendResult{Version: head.version}, nil
}

// head is a stream's number, its last version, and the id of its event.
type head struct {
	number, version int64
	last            uuid.UUID
}

// streamHead returns the head of a stream, the zero value for a stream without events.
func (s *session) streamHead(ctx context.Context, stream es.StreamID) (h head, err error) {
	var last []byte
	err = queryRow(ctx, s.db, s.sql.streamHead, []any{stream.String()}, &h.number, &h.version, &last)
	if errors.Is(err, sql.ErrNoRows) {
		return head{}, nil
	}
	copy(h.last[:], last)
	return h, statementError(err)
}

// FindEvents implements [es.EventFinder].
func (s *session) FindEvents(ctx context.Context, ids ...uuid.UUID) ([]es.Recorded, error) {
	var p page.Page
	for _, id := range ids {
		err := s.readPage(ctx, s.sql.findEvent, []any{id[:]}, func(r *row) (int, error) {
			stream, err := es.ParseStreamID(r.string(0))
			if err != nil {
				return 0, err
			}
			return add(&p, r, stream)
		})
		if err != nil {
			return nil, fmt.Errorf("find event %s: %w", id, err)
		}
	}
	slices.SortFunc(p.Events, func(a, b es.Recorded) int { return cmp.Compare(a.Position, b.Position) })
	return p.Events, nil
}

// ReadSnapshot implements [es.Snapshotter].
func (s *session) ReadSnapshot(ctx context.Context, stream es.StreamID) (es.Snapshot, bool, error) {
	snap := es.Snapshot{Stream: stream}
	err := queryRow(ctx, s.db, s.sql.readSnapshot, []any{stream.String()}, &snap.Version, &snap.EventID, &snap.Schema, &snap.Form, &snap.Data)
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
		snap.Stream.String(), snap.Version, snap.EventID[:], snap.Schema, snap.Form, notNil(snap.Data), time.Now().UnixMicro())
	return err
}

// notNil keeps an empty payload from becoming NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
