package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

// append writes one append, which is not empty, in the transaction that the
// session is in. A conflict is an answer: nothing was written. After any other
// error a part of the append may be in the transaction.
func (s *session) append(ctx context.Context, p es.Prepared) (es.AppendResult, error) {
	version, exact := p.Expected.Version()
	if p.Repeatable && !exact {
		if result, found, err := s.findAppend(ctx, p); found || err != nil {
			return result, err
		}
	}
	var number int64
	var expectedLast any
	if last := p.Expected.Last(); last != uuid.Nil {
		expectedLast = last[:]
	}
	last := p.Events[len(p.Events)-1].ID
	err := queryRow(ctx, s.db, s.sql.advanceStream,
		[]any{p.Stream.String(), p.Stream.Category, len(p.Events), p.Expected.Number(), expectedLast, last[:]}, &number, &version)
	if errors.Is(err, sql.ErrNoRows) {
		return s.duplicateOrConflict(ctx, p)
	}
	if err != nil {
		return es.AppendResult{}, statementError(err)
	}
	position, err := s.insertEvents(ctx, p, number, version-int64(len(p.Events))+1)
	if err != nil {
		return es.AppendResult{}, statementError(err)
	}
	return es.AppendResult{Version: version, Position: position}, nil
}

// duplicateOrConflict answers an append whose stream is not as expected.
func (s *session) duplicateOrConflict(ctx context.Context, p es.Prepared) (es.AppendResult, error) {
	if version, exact := p.Expected.Version(); exact && p.Repeatable {
		result, found, err := s.findAppend(ctx, p)
		if err != nil || found && result.Version == version+int64(len(p.Events)) {
			return result, err
		}
	}
	head, err := s.streamHead(ctx, p.Stream)
	if err != nil {
		return es.AppendResult{}, err
	}
	return es.AppendResult{}, conflict(p, head.version)
}

func conflict(p es.Prepared, actual int64) error {
	return es.Conflict(p.Stream, p.Expected, actual)
}

// findAppend looks for an append that is in the log already: the events with
// exactly these ids, in this order and without others in between, in its stream.
func (s *session) findAppend(ctx context.Context, p es.Prepared) (result es.AppendResult, found bool, err error) {
	head, err := s.streamHead(ctx, p.Stream)
	if err != nil || head.number == 0 {
		return result, false, err
	}
	rows, err := s.db.QueryContext(ctx, s.sql.findAppend, head.number, p.Events[0].ID[:], len(p.Events))
	if err != nil {
		return result, false, statementError(err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err says it
	var places []place
	for rows.Next() {
		var at place
		var id sql.RawBytes
		if err := rows.Scan(&at.version, &id, &at.position); err != nil {
			return result, false, err
		}
		copy(at.id[:], id)
		places = append(places, at)
	}
	if err := rows.Err(); err != nil || !holds(places, p.Events) {
		return result, false, statementError(err)
	}
	end := places[len(places)-1]
	return es.AppendResult{Version: end.version, Position: end.position, Duplicate: true}, true, nil
}

// place is where an event is.
type place struct {
	version, position int64
	id                uuid.UUID
}

// holds reports whether the events are at these places, without a hole.
func holds(at []place, events []es.EventData) bool {
	if len(at) != len(events) {
		return false
	}
	for i, e := range events {
		if at[i].id != e.ID || at[i].version != at[0].version+int64(i) {
			return false
		}
	}
	return true
}

// insertEvents writes the events of p, the first of them as version first, and
// returns the position of the last one.
func (s *session) insertEvents(ctx context.Context, p es.Prepared, number, first int64) (int64, error) {
	now := time.Now().UnixMicro()
	var position int64
	for i := 0; i < len(p.Events); {
		text, n := s.sql.insertEvent, 1
		if len(p.Events)-i >= chunkRows {
			text, n = s.sql.insertChunk, chunkRows
		}
		args := make([]any, 0, 9*n)
		for ; n > 0; n, i = n-1, i+1 {
			e := &p.Events[i]
			args = append(args, number, p.Stream.Category, now, first+int64(i), e.ID[:], e.Type)
			if e.Binary {
				args = append(args, nil, notNil(e.Data))
			} else {
				args = append(args, string(e.Data), nil)
			}
			args = append(args, nullable(p.Metadata[i]))
		}
		result, err := s.db.ExecContext(ctx, text, args...)
		if isDuplicate(err) {
			return 0, fmt.Errorf("%w, an id is in the log once: %w", es.ErrDuplicateID, err)
		}
		if err != nil {
			return 0, fmt.Errorf("insert events: %w", err)
		}
		if position, err = result.LastInsertId(); err != nil {
			return 0, err
		}
	}
	return position, nil
}

// nullable is the text, NULL where there is none.
func nullable(b []byte) any {
	if b == nil {
		return nil
	}
	return string(b)
}
