package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/internal/traced"
	"github.com/peatlog/peat/internal/page"
)

// ReadStream implements [es.StreamReader].
func (s *session) ReadStream(ctx context.Context, stream es.StreamID, opts es.ReadOptions) iter.Seq2[es.Recorded, error] {
	text := s.sql.readStream.direction(opts.Backward)
	return traced.Load(ctx, s.opts.Tracers.Load, stream, opts, func(ctx context.Context, from int64, limit int) (page.Page, error) {
		var p page.Page
		err := s.readPage(ctx, text, []any{stream.String(), from, limit}, func(r *row) (int, error) {
			p.Head = r.int(0)
			if r[1] == nil { // the stream, and no event on this page
				return 0, nil
			}
			return add(&p, r, stream)
		})
		if err != nil {
			return p, fmt.Errorf("read %s: %w", stream, err)
		}
		return p, nil
	})
}

// ReadAll implements [es.LogReader].
func (s *session) ReadAll(ctx context.Context, opts es.ReadAllOptions) iter.Seq2[es.Recorded, error] {
	text := s.sql.readAll.direction(opts.Backward)
	if opts.Category != "" {
		text = s.sql.readCategory.direction(opts.Backward)
	}
	return page.Log(ctx, opts, func(ctx context.Context, from int64, limit int) (page.Page, error) {
		args := []any{from, limit, opts.Category}
		if opts.Category == "" {
			args = args[:2]
		}
		var p page.Page
		size := 0
		err := s.readPage(ctx, text, args, func(r *row) (int, error) {
			stream, err := es.ParseStreamID(r.string(0))
			if err != nil {
				return 0, err
			}
			n, err := add(&p, r, stream)
			size += n
			return n, err
		})
		if err != nil {
			return p, fmt.Errorf("read the log: %w", err)
		}
		p.More = len(p.Events) == limit || size >= page.TargetBytes
		return p, nil
	})
}

// readPage hands the rows of a query to take, until those have page.TargetBytes.
func (s *session) readPage(ctx context.Context, text string, args []any, take func(*row) (int, error)) error {
	rows, err := s.db.QueryContext(ctx, text, args...)
	if err != nil {
		return statementError(err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err says it
	var r row
	dest := make([]any, len(r))
	for i := range r {
		dest[i] = &r[i]
	}
	for size := 0; size < page.TargetBytes && rows.Next(); {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		n, err := take(&r)
		if err != nil {
			return err
		}
		size += n
	}
	if err := rows.Close(); err != nil {
		return err
	}
	return statementError(rows.Err())
}

// row holds the columns of the reads as the driver gives them, which spares the
// reflection of scanning into typed variables. The first one is the stream's head
// or its id.
type row [9]any

func (r *row) int(column int) int64     { n, _ := r[column].(int64); return n }
func (r *row) string(column int) string { s, _ := r[column].(string); return s }
func (r *row) bytes(column int) []byte  { b, _ := r[column].([]byte); return b }

// add appends the row's event to a page and returns the size of its payload.
func add(p *page.Page, r *row, stream es.StreamID) (int, error) {
	rec := es.Recorded{
		Stream: stream, Version: r.int(1), Position: r.int(2), Type: r.string(4),
		RecordedAt: time.UnixMicro(r.int(8)),
	}
	var err error
	if rec.ID, err = uuid.FromBytes(r.bytes(3)); err != nil {
		return 0, undecodable(rec, fmt.Errorf("event id: %w", err))
	}
	if r[5] == nil {
		rec.Data, rec.Binary = notNil(r.bytes(6)), true
	} else {
		rec.Data = []byte(r.string(5))
	}
	if r[7] != nil {
		if err := json.Unmarshal([]byte(r.string(7)), &rec.Metadata); err != nil {
			return 0, undecodable(rec, fmt.Errorf("metadata: %w", err))
		}
	}
	p.Events = append(p.Events, rec)
	return len(rec.Data), nil
}

func undecodable(rec es.Recorded, err error) error {
	return &es.DecodeError{Stream: rec.Stream, Version: rec.Version, Position: rec.Position, Type: rec.Type, Err: err}
}
