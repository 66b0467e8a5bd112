package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/internal/traced"
	"github.com/peatlog/peat/internal/page"
)

// ReadStream implements [es.StreamReader].
func (s *session) ReadStream(ctx context.Context, stream es.StreamID, opts es.ReadOptions) iter.Seq2[es.Recorded, error] {
	return traced.Load(ctx, s.opts.Tracers.Load, stream, opts, func(ctx context.Context, from int64, limit int) (page.Page, error) {
		p, err := s.readStream(ctx, stream, opts.Backward, from, limit)
		if err != nil {
			return p, fmt.Errorf("read %s: %w", stream, err)
		}
		return p, nil
	})
}

func (s *session) readStream(ctx context.Context, stream es.StreamID, backward bool, from int64, limit int) (page.Page, error) {
	var p page.Page
	rows, err := s.db.Query(ctx, s.sql.readStream.direction(backward), stream.String(), from, limit)
	if err != nil {
		return p, err
	}
	defer rows.Close()
	var d *decoder
	for size := 0; size < page.TargetBytes && rows.Next(); {
		if d == nil {
			d = newDecoder(rows.FieldDescriptions(), stream)
		}
		if rows.RawValues()[1] == nil { // the stream, and no event on this page
			var none any
			if err := rows.Scan(&p.Head, &none, &none, &none, &none, &none, &none, &none, &none); err != nil {
				return p, err
			}
			continue
		}
		p.Events = append(p.Events, es.Recorded{})
		e := &p.Events[len(p.Events)-1]
		if err := d.event(rows, e); err != nil {
			return p, err
		}
		p.Head, size = d.head, size+len(e.Data)
		if len(p.Events) == 1 { // now it is known how many can follow
			rest := d.head - e.Version
			if backward {
				rest = e.Version - 1
			}
			p.Events = slices.Grow(p.Events, int(max(min(rest, int64(limit)-1), 0)))
		}
	}
	rows.Close()
	return p, rows.Err()
}

// ReadAll implements [es.LogReader].
func (s *session) ReadAll(ctx context.Context, opts es.ReadAllOptions) iter.Seq2[es.Recorded, error] {
	sql, args := s.sql.readAll.direction(opts.Backward), []any{nil, nil}
	if opts.Category != "" {
		sql, args = s.sql.readCategory.direction(opts.Backward), []any{nil, nil, opts.Category}
	}
	return page.Log(ctx, opts, func(ctx context.Context, from int64, limit int) (page.Page, error) {
		args := append([]any{from, limit}, args[2:]...)
		rows, err := s.db.Query(ctx, sql, args...)
		if err != nil {
			return page.Page{}, fmt.Errorf("read the log: %w", err)
		}
		p, err := collect(rows, limit, page.TargetBytes)
		if err != nil {
			return p, fmt.Errorf("read the log: %w", err)
		}
		return p, nil
	})
}

// firstEvents is how many events a page has room for when it gets its first one; it
// grows eightfold.
const firstEvents = 16

// collect reads a page of the log of up to maxBytes of payload; a larger event
// makes a page of its own.
func collect(rows pgx.Rows, limit, maxBytes int) (page.Page, error) {
	defer rows.Close()
	var p page.Page
	size := 0
	var d *decoder
	for rows.Next() {
		if d == nil {
			d = newDecoder(rows.FieldDescriptions(), es.StreamID{})
		}
		if n := len(p.Events); n == cap(p.Events) {
			p.Events = slices.Grow(p.Events, max(min(max(firstEvents, 7*n), limit-n), 1))
		}
		p.Events = append(p.Events, es.Recorded{})
		last := len(p.Events) - 1
		if err := d.event(rows, &p.Events[last]); err != nil {
			return page.Page{}, err
		}
		if size += len(p.Events[last].Data); size > maxBytes && last > 0 {
			p.Events, p.More = p.Events[:last], true
			break
		}
	}
	rows.Close()
	p.More = p.More || len(p.Events) == limit
	return p, rows.Err()
}

// row scans the columns of an event.
type row struct {
	es.Recorded
	blob, metadata []byte
}

// dest is where the columns go: the first one, which differs, and the others. It
// stays the same for all rows of a result, which spares much. The id goes in as
// bytes: as a UUID it would be scanned as text.
func (r *row) dest(first any) []any {
	return []any{first, &r.Version, &r.Position, (*[16]byte)(&r.ID), &r.Type, &r.Data, &r.blob, &r.metadata, &r.RecordedAt}
}

func (r *row) recorded() (es.Recorded, error) {
	if r.blob != nil {
		r.Data, r.Binary = r.blob, true
	}
	err := readMetadata(&r.Recorded, r.metadata)
	return r.Recorded, err
}

// readMetadata reads the metadata of an event of which the rest is there; nil is none.
func readMetadata(e *es.Recorded, text []byte) error {
	if text == nil {
		return nil
	}
	if err := json.Unmarshal(text, &e.Metadata); err != nil {
		return &es.DecodeError{
			Stream: e.Stream, Version: e.Version, Position: e.Position, Type: e.Type,
			Err: fmt.Errorf("metadata: %w", err),
		}
	}
	return nil
}
