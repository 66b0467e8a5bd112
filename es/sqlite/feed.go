package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/page"
)

var _ es.Feed = (*Store)(nil)

// cursor is the stored form of a checkpoint. There is one writer at a time, so the
// order of positions is the order of commits, and a position says what is delivered.
type cursor struct {
	Version  int   `json:"v"`
	Position int64 `json:"position"`
	// Until is where the log ended when the reader began to catch up, 0 once it has
	// come there. Up to it there is more to read, whatever is appended.
	Until int64 `json:"until,omitempty"`
}

// Feed implements [es.Feed]. Both horizons are the same here.
func (s *Store) Feed(ctx context.Context, behind es.Checkpoint, opts es.FeedOptions) (es.Batch, error) {
	opts, err := opts.WithDefaults()
	if err != nil {
		return es.Batch{}, err
	}
	batch, err := s.feed(ctx, behind, opts)
	if err != nil {
		return es.Batch{}, fmt.Errorf("feed: %w", err)
	}
	return batch, nil
}

func (s *Store) feed(ctx context.Context, behind es.Checkpoint, opts es.FeedOptions) (es.Batch, error) {
	from, err := parseCursor(behind)
	if err != nil {
		return es.Batch{}, err
	}
	last, err := s.end(ctx, from.Position)
	if err != nil {
		return es.Batch{}, err
	}
	if from.Position == last {
		return es.Batch{Next: behind}, nil
	}
	until := last
	if from.Until > 0 {
		until = min(from.Until, last)
	}
	p, err := s.readFeed(ctx, from.Position, until, opts)
	if err != nil {
		return es.Batch{}, err
	}
	// There is an event at until, so the batch always moves.
	b := es.Batch{Events: p.Events, Next: checkpoint(until, until), Moved: true}
	if n := len(p.Events); n > 0 {
		if p.More {
			at := p.Events[n-1].Position
			b.Next, b.More = checkpoint(at, until), at < until
		}
		b.Prefix = func(n int) es.Checkpoint {
			switch n {
			case 0:
				return behind
			case len(b.Events):
				return b.Next
			default:
				return checkpoint(b.Events[n-1].Position, until)
			}
		}
	}
	return b, nil
}

// lastPosition returns the position of the newest event, 0 for none.
func (s *session) lastPosition(ctx context.Context) (last int64, err error) {
	err = queryRow(ctx, s.db, s.sql.lastPosition, nil, &last)
	return last, statementError(err)
}

// end returns the end of the log, which a checkpoint at this position must not be
// beyond.
func (s *Store) end(ctx context.Context, position int64) (int64, error) {
	last, err := s.lastPosition(ctx)
	if err == nil && position > last {
		err = fmt.Errorf("%w: the checkpoint is at position %d, the log ends at %d; was an older copy of the file restored? reset the subscription",
			es.ErrForeignEpoch, position, last)
	}
	return last, err
}

// Pins implements [es.Pinner]: nobody can hold back a feed here.
func (*Store) Pins(context.Context) ([]es.Pin, error) { return nil, nil }

// checkpoint returns the checkpoint of a reader that has come to a position and is to
// go on until another one.
func checkpoint(position, until int64) es.Checkpoint {
	c := cursor{Version: 1, Position: position}
	if position < until {
		c.Until = until
	}
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // numbers
	}
	return es.Checkpoint(text)
}

func parseCursor(cp es.Checkpoint) (cursor, error) {
	if cp == "" {
		return cursor{}, nil
	}
	var c cursor
	if err := json.Unmarshal([]byte(cp), &c); err != nil {
		return cursor{}, fmt.Errorf("%w: %w", es.ErrCheckpoint, err)
	}
	if c.Version != 1 || c.Position <= 0 || c.Until != 0 && c.Until <= c.Position {
		return cursor{}, fmt.Errorf("%w: version %d, position %d, until %d", es.ErrCheckpoint, c.Version, c.Position, c.Until)
	}
	return c, nil
}

// readFeed reads the next events that the filter selects, up to a position.
func (s *Store) readFeed(ctx context.Context, from, until int64, opts es.FeedOptions) (page.Page, error) {
	var p page.Page
	if s.readers.closed.Load() {
		return p, ErrClosed
	}
	text, args := s.feedSQL(opts.Filter, from, until, opts.MaxEvents)
	rows, err := s.readers.db.QueryContext(ctx, text, args...)
	if err != nil {
		return p, statementError(err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err says it
	var r row
	dest := make([]any, len(r))
	for i := range r {
		dest[i] = &r[i]
	}
	for size := 0; rows.Next(); {
		if err := rows.Scan(dest...); err != nil {
			return p, err
		}
		stream, err := es.ParseStreamID(r.string(0))
		if err != nil {
			return p, err
		}
		n, err := add(&p, &r, stream)
		if err != nil {
			return p, err
		}
		if size += n; size > opts.MaxBytes && len(p.Events) > 1 {
			p.Events, p.More = p.Events[:len(p.Events)-1], true
			break
		}
	}
	p.More = p.More || len(p.Events) == opts.MaxEvents
	return p, statementError(rows.Err())
}

// maxArms bounds the categories that are read each by its own part of the index.
// More of them are read by position, and what is of other categories is skipped.
const maxArms = 16

// feedSQL returns the statement for the next events behind a position, up to another one,
// and its arguments.
func (s *Store) feedSQL(f es.Filter, from, until int64, limit int) (string, []any) {
	args := []any{from, until, limit}
	arg := func(v any) string {
		args = append(args, v)
		return "?" + strconv.Itoa(len(args))
	}
	rest := filterSQL(arg, f)
	categories := slices.Compact(slices.Sorted(slices.Values(f.Categories)))
	head, tail, _ := strings.Cut(s.sql.feed, "{more arms}")
	arm := func(index, filter string) string {
		return strings.NewReplacer("{index}", index, "{filter}", rest+filter).Replace(head)
	}
	if len(categories) == 0 || len(categories) > maxArms {
		return arm("NOT INDEXED", in(arg, "e.category", categories)) + tail, args // by position
	}
	arms := make([]string, len(categories))
	for i := range categories {
		arms[i] = arm("INDEXED BY peat_events_category_idx", in(arg, "e.category", categories[i:i+1]))
	}
	return strings.Join(arms, "UNION ALL\n") + tail, args
}

// filterSQL is the rest of a WHERE clause, except for the categories.
func filterSQL(arg func(any) string, f es.Filter) string {
	sql := in(arg, "e.event_type", f.Types)
	if f.Stream != (es.StreamID{}) {
		sql += " AND e.stream_no = (SELECT stream_no FROM peat_streams WHERE stream_id = " + arg(f.Stream.String()) + ")"
	}
	if f.Segments > 1 {
		sql += " AND e.stream_no % " + arg(f.Segments) + " = " + arg(f.Segment)
	}
	return sql
}

func in(arg func(any) string, column string, values []string) string {
	if len(values) == 0 {
		return ""
	}
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = arg(v)
	}
	return " AND " + column + " IN (" + strings.Join(list, ", ") + ")"
}
