package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/internal/page"
	"github.com/peatlog/peat/internal/window"
)

var _ es.Feed = (*Store)(nil)

// ErrStandby is the error of a feed that reads from a standby server, whose order
// of commits differs from the primary's.
var ErrStandby = errors.New("the server is a standby; read the feed from the primary")

// Feed implements [es.Feed]. An idle feed costs one round trip and no transaction
// id. It must not run inside a transaction, and does not.
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
	// All statements on one connection: so no crash lies between them.
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return es.Batch{}, err
	}
	defer conn.Release()
	r := &feedReader{session: &s.session, conn: conn.Conn(), opts: opts}
	c, err := parse(behind, opts.Horizon)
	if err != nil {
		return es.Batch{}, err
	}
	c, p, err := r.read(ctx, c, behind, s.known.Load())
	if err != nil {
		return es.Batch{}, err
	}
	s.known.Store(new(r.now))
	if c.To == nil {
		return es.Batch{Next: behind}, nil
	}
	epochs, events := r.now.epochs, p.Events
	if err := r.backstop(ctx, c, epochs, events); err != nil {
		return es.Batch{}, err
	}
	next := c.Delivered(events)
	if !p.More {
		next = next.Close()
	}
	b := es.Batch{Events: events, Next: next.Checkpoint(), More: p.More}
	if b.Moved, err = r.moved(ctx, c, next, len(events)); err != nil {
		return es.Batch{}, err
	}
	if len(events) > 0 {
		b.Prefix = func(n int) es.Checkpoint {
			if n == len(events) {
				return b.Next
			}
			return c.Delivered(events[:n]).Checkpoint()
		}
	}
	return b, nil
}

// moved reports whether there are events between two cursors, delivered or not. What a
// filter skips at or below the position of the first one is looked for: that others
// have ended meanwhile does not say that they have appended.
func (r *feedReader) moved(ctx context.Context, c, next window.Cursor, events int) (bool, error) {
	if events > 0 || next.From.LastPosition != c.From.LastPosition || next.From.Epoch != c.From.Epoch {
		return true, nil
	}
	w := c.Window(r.now.epochs)
	if w.Stragglers().Empty() || r.opts.Filter.All() {
		return false, nil
	}
	return r.holds(ctx, r.conn, w)
}

// feedReader reads one batch on one connection.
type feedReader struct {
	*session
	conn *pgx.Conn
	opts es.FeedOptions
	now  moment
}

// nearby is how far a checkpoint may be behind what was last known of the log for its
// next window to be read in the round trip that opens it: where much lies in between,
// the planner has to know the frontier to see how to find the first of it.
const nearby = 2000

// read returns the cursor with its window open, and the next page of that, or a cursor
// without one where there is nothing new. For an open window, or near the end of the
// log, it takes one round trip if what is known of the log's life still holds, as it
// does unless the server has crashed or the log has moved.
func (r *feedReader) read(ctx context.Context, c window.Cursor, behind es.Checkpoint, known *moment) (window.Cursor, page.Page, error) {
	if known != nil && behind != "" && known.helps(c) {
		p, err := r.ask(ctx, c, &known.life)
		if err != nil {
			return c, p, err
		}
		if known.equal(r.now.life) {
			c, err := r.open(c, behind)
			r.now.LastPosition = max(r.now.LastPosition, known.LastPosition)
			return c, p, err
		}
	}
	if _, err := r.ask(ctx, c, nil); err != nil {
		return c, page.Page{}, err
	}
	c, err := r.open(c, behind)
	if err != nil || c.To == nil {
		return c, page.Page{}, err
	}
	now := r.now
	p, err := r.ask(ctx, c, &now.life)
	r.now = now
	return c, p, err
}

// helps reports whether the cursor is in a window, or between two and near the end of
// the log. Under Settled nobody knows how much waits there.
func (m moment) helps(c window.Cursor) bool {
	if c.To != nil {
		_, _, err := m.epochs.Bounds(c.From.Epoch)
		return err == nil
	}
	return c.Horizon == es.Committed && c.From.Epoch == m.epochs.Current() && m.LastPosition-c.From.LastPosition <= nearby
}

// frontier returns a moment of now.
func (r *feedReader) frontier(ctx context.Context) (moment, error) {
	_, err := r.ask(ctx, window.Cursor{}, nil)
	return r.now, err
}

// open returns the cursor of a checkpoint with its window open, or without one where
// there is nothing new.
func (r *feedReader) open(c window.Cursor, behind es.Checkpoint) (window.Cursor, error) {
	c, err := r.now.resume(c, behind)
	if err != nil || c.To != nil {
		return c, err
	}
	to, err := c.Until(r.now.Frontier, r.now.epochs)
	if err != nil {
		return c, err
	}
	c, _ = c.Open(to)
	return c, nil
}

// ask asks in one round trip what the log's life is and, if it is known, for the next
// page. For a cursor without a window it takes a frontier, at which the window ends:
// in a pipeline each statement has its own snapshot, in the order that they are sent.
// The pipeline begins and ends its own transaction, as the third statement needs.
func (r *feedReader) ask(ctx context.Context, c window.Cursor, known *life) (p page.Page, err error) {
	pipeline := &pgx.Batch{}
	var taken func(error) error
	r.now = moment{}
	if c.To == nil {
		taken = r.now.take(pipeline, r.sql)
		c.To = &window.Frontier{Epoch: c.From.Epoch}
	}
	pipeline.Queue(r.sql.epochs).Query(r.now.scan)
	if known != nil {
		sql, args, err := r.windowSQL(c.Window(known.epochs), r.opts, taken != nil)
		if err != nil {
			return p, err
		}
		if taken == nil {
			pipeline.Queue(r.sql.genericPlans)
		}
		pipeline.Queue(sql, args...).Query(func(rows pgx.Rows) (err error) {
			p, err = collect(rows, r.opts.MaxEvents, r.opts.MaxBytes)
			return err
		})
	}
	err = r.conn.SendBatch(ctx, pipeline).Close()
	if taken != nil {
		err = taken(err)
	}
	if err == nil && r.now.incarnation == "" {
		err = r.incarnate(ctx)
	}
	return p, err
}

// parse returns the cursor of a checkpoint; that of the empty one is still to be resumed.
func parse(behind es.Checkpoint, horizon es.Horizon) (window.Cursor, error) {
	if behind == "" {
		return window.Cursor{Horizon: horizon}, nil
	}
	c, err := window.Parse(behind)
	if err != nil {
		return c, fmt.Errorf("%w: %w", es.ErrCheckpoint, err)
	}
	if c.Horizon != horizon {
		return c, fmt.Errorf("%w: it is of the horizon %v, not %v; reset the subscription to change it", es.ErrCheckpoint, c.Horizon, horizon)
	}
	return c, nil
}

// life is what seldom changes about a log: a crash and a move do it.
type life struct {
	epochs      window.Epochs
	incarnation string
}

func (l life) equal(o life) bool {
	return l.incarnation == o.incarnation && slices.Equal(l.epochs, o.epochs)
}

// resume returns the cursor of a checkpoint as one that goes on in this life of the server.
func (l life) resume(c window.Cursor, behind es.Checkpoint) (window.Cursor, error) {
	if err := c.Survived(l.incarnation); err != nil {
		return c, err
	}
	c.Incarnation = l.incarnation
	if behind != "" {
		return c, nil
	}
	from, err := l.epochs.Begin(l.epochs[0].Number)
	c.From = from
	return c, err
}

func (l *life) scan(rows pgx.Rows) error {
	var e window.Epoch
	_, err := pgx.ForEachRow(rows, []any{&e.Number, &e.Base, &l.incarnation}, func() error {
		l.epochs = append(l.epochs, e)
		return nil
	})
	return err
}

// moment is a frontier and what is known of the log's life at it.
type moment struct {
	window.Frontier
	life
}

// take queues the statements that take a frontier, to which those of the life are still
// to be added, and returns what is to be done when they are answered, or have failed.
func (m *moment) take(pipeline *pgx.Batch, q queries) (taken func(error) error) {
	var snapshot string
	var standby bool
	var low int64
	pipeline.Queue(q.frontierPosition).QueryRow(func(row pgx.Row) error { return row.Scan(&m.LastPosition) })
	pipeline.Queue(q.frontierSnapshot).QueryRow(func(row pgx.Row) error { return row.Scan(&snapshot, &standby, nil) })
	pipeline.Queue(q.frontierNext).QueryRow(func(row pgx.Row) error { return row.Scan(&low) })
	return func(err error) error {
		if standby {
			return ErrStandby
		}
		if err != nil {
			return fmt.Errorf("take a frontier: %w", err)
		}
		if m.Snapshot, err = window.ParseSnapshot(snapshot); err != nil {
			return err
		}
		m.Epoch, m.Next = m.epochs.Current(), m.Snapshot.Next(uint32(low))
		return nil
	}
}

// incarnate gives a server that has crashed, or is new to the log, its incarnation.
func (r *feedReader) incarnate(ctx context.Context) error {
	if _, err := r.conn.Exec(ctx, r.sql.newIncarnation); err != nil {
		return fmt.Errorf("give the server an incarnation: %w", err)
	}
	rows, err := r.conn.Query(ctx, r.sql.epochs)
	if err != nil {
		return err
	}
	r.now.life = life{}
	return r.now.scan(rows)
}

// backstop checks that none of the events is behind a later one of its stream.
// Only those can be that are not above everything delivered before.
func (r *feedReader) backstop(ctx context.Context, c window.Cursor, epochs window.Epochs, events []es.Recorded) error {
	var streams []string
	var versions []int64
	for _, e := range events {
		if e.Position > max(c.From.LastPosition, c.High) {
			break // they are in the order of positions
		}
		streams, versions = append(streams, e.Stream.String()), append(versions, e.Version)
	}
	if len(streams) == 0 {
		return nil
	}
	sql, args, err := r.backstopSQL(c.Window(epochs), streams, versions)
	if err != nil {
		return err
	}
	var stream string
	violation := &es.OrderingViolationError{}
	err = r.conn.QueryRow(ctx, sql, args...).Scan(&stream, &violation.Version, &violation.LastDelivered)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("check the order: %w", err)
	}
	if violation.Stream, err = es.ParseStreamID(stream); err != nil {
		return err
	}
	return violation
}
