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

// searchedEvents is how far back an append without an expected version is looked for.
const searchedEvents = 100

// append writes one append, which is not empty, in the transaction that the
// session is in. A conflict is an answer: nothing was written. After any other
// error a part of the append may be in the transaction.
func (s *session) append(ctx context.Context, p es.Prepared) (es.AppendResult, error) {
	_, exact := p.Expected.Version()
	if p.Repeatable && !exact {
		number, head, err := s.streamHead(ctx, p.Stream)
		if err != nil {
			return es.AppendResult{}, err
		}
		first := head - int64(max(searchedEvents, len(p.Events))) + 1
		if result, found, err := s.findAppend(ctx, p, number, first, head, head); found || err != nil {
			return result, err
		}
	}
	var number, version int64
	err := queryRow(ctx, s.db, s.sql.advanceStream,
		[]any{p.Stream.String(), p.Stream.Category, len(p.Events), int64(p.Expected)}, &number, &version)
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
	number, head, err := s.streamHead(ctx, p.Stream)
	if err != nil {
		return es.AppendResult{}, err
	}
	if version, exact := p.Expected.Version(); exact && p.Repeatable {
		first, last := version+1, version+int64(len(p.Events))
		if result, found, err := s.findAppend(ctx, p, number, first, first, last); found || err != nil {
			return result, err
		}
	}
	return es.AppendResult{}, conflict(p, head)
}

func conflict(p es.Prepared, actual int64) error {
	return &es.ConflictError{Stream: p.Stream, Expected: p.Expected, Actual: actual}
}

// findAppend looks for an append that is in the log already: the events with
// exactly these ids, in this order and without others in between, the first of
// them at a version from first to last, the last of them up to version end. The
// latest such place counts.
func (s *session) findAppend(ctx context.Context, p es.Prepared, number, first, last, end int64) (result es.AppendResult, found bool, err error) {
	rows, err := s.db.QueryContext(ctx, s.sql.findAppend, number, first, last, p.Events[0].ID[:], end)
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
	if err := rows.Err(); err != nil {
		return result, false, statementError(err)
	}
	for i := len(places) - len(p.Events); i >= 0; i-- {
		if at := places[i : i+len(p.Events)]; holds(at, p.Events) {
			end := at[len(at)-1]
			return es.AppendResult{Version: end.version, Position: end.position, Duplicate: true}, true, nil
		}
	}
	return result, false, nil
}

// place is where an event is.
type place struct {
	version, position int64
	id                uuid.UUID
}

// holds reports whether the events are at these places, without a hole.
func holds(at []place, events []es.EventData) bool {
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
