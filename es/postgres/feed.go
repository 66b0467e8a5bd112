package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
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
	r := &feedReader{session: &s.session, conn: conn.Conn()}
	c, epochs, err := r.openWindow(ctx, behind, opts.Horizon)
	if err != nil || c.To == nil {
		return es.Batch{Next: behind}, err
	}
	events, more, err := r.readWindow(ctx, c.Window(epochs), opts)
	if err != nil {
		return es.Batch{}, err
	}
	if err := r.backstop(ctx, c, epochs, events); err != nil {
		return es.Batch{}, err
	}
	next := c.Delivered(events)
	if !more {
		next = next.Close()
	}
	b := es.Batch{Events: events, Next: next.Checkpoint(), More: more}
	if b.Moved, err = r.moved(ctx, c, next, epochs, len(events), opts.Filter); err != nil {
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
func (r *feedReader) moved(ctx context.Context, c, next window.Cursor, epochs window.Epochs, events int, filter es.Filter) (bool, error) {
	if events > 0 || next.From.LastPosition != c.From.LastPosition || next.From.Epoch != c.From.Epoch {
		return true, nil
	}
	w := c.Window(epochs)
	if w.Stragglers().Empty() || filter.All() {
		return false, nil
	}
	return r.holds(ctx, r.conn, w)
}

// feedReader reads one batch on one connection.
type feedReader struct {
	*session
	conn *pgx.Conn
}

// openWindow returns the cursor of a checkpoint with its window open, or without
// one where there is nothing new.
func (r *feedReader) openWindow(ctx context.Context, behind es.Checkpoint, horizon es.Horizon) (window.Cursor, window.Epochs, error) {
	c, err := parse(behind, horizon)
	if err != nil {
		return c, nil, err
	}
	take := r.frontier
	if c.To != nil {
		take = r.life
	}
	now, err := take(ctx)
	if err != nil {
		return c, nil, err
	}
	if c, err = now.resume(c, behind); err != nil || c.To != nil {
		return c, now.epochs, err
	}
	to, err := c.Until(now.Frontier, now.epochs)
	if err != nil {
		return c, nil, err
	}
	c, _ = c.Open(to)
	return c, now.epochs, nil
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

// resume returns the cursor of a checkpoint as one that goes on in this life of the server.
func (m moment) resume(c window.Cursor, behind es.Checkpoint) (window.Cursor, error) {
	if err := c.Survived(m.incarnation); err != nil {
		return c, err
	}
	c.Incarnation = m.incarnation
	if behind != "" {
		return c, nil
	}
	from, err := m.epochs.Begin(m.epochs[0].Number)
	c.From = from
	return c, err
}

// moment is a frontier and what is known of the log's life at it.
type moment struct {
	window.Frontier
	epochs      window.Epochs
	incarnation string
}

// frontier takes a frontier of now, in one round trip: in a pipeline each statement
// has its own snapshot, in the order that they are sent. The pipeline begins and
// ends its own transaction, as the third statement needs.
func (r *feedReader) frontier(ctx context.Context) (moment, error) {
	var m moment
	var snapshot string
	var standby bool
	var low int64
	pipeline := &pgx.Batch{}
	pipeline.Queue(r.sql.frontierPosition).QueryRow(func(row pgx.Row) error { return row.Scan(&m.LastPosition) })
	pipeline.Queue(r.sql.frontierSnapshot).QueryRow(func(row pgx.Row) error { return row.Scan(&snapshot, &standby) })
	pipeline.Queue(r.sql.frontierNext).QueryRow(func(row pgx.Row) error { return row.Scan(&low) })
	pipeline.Queue(r.sql.epochs).Query(m.scanLife)
	err := r.conn.SendBatch(ctx, pipeline).Close()
	if standby {
		return m, ErrStandby
	}
	if err != nil {
		return m, fmt.Errorf("take a frontier: %w", err)
	}
	if m.Snapshot, err = window.ParseSnapshot(snapshot); err != nil {
		return m, err
	}
	m.Epoch, m.Next = m.epochs.Current(), m.Snapshot.Next(uint32(low))
	return m, r.incarnate(ctx, &m)
}

// life returns a moment without its frontier.
func (r *feedReader) life(ctx context.Context) (moment, error) {
	var m moment
	rows, err := r.conn.Query(ctx, r.sql.epochs)
	if err != nil {
		return m, err
	}
	if err := m.scanLife(rows); err != nil {
		return m, err
	}
	return m, r.incarnate(ctx, &m)
}

func (m *moment) scanLife(rows pgx.Rows) error {
	var e window.Epoch
	_, err := pgx.ForEachRow(rows, []any{&e.Number, &e.Base, &m.incarnation}, func() error {
		m.epochs = append(m.epochs, e)
		return nil
	})
	return err
}

// incarnate gives a server that has crashed, or is new to the log, its incarnation.
func (r *feedReader) incarnate(ctx context.Context, m *moment) error {
	if m.incarnation != "" {
		return nil
	}
	if _, err := r.conn.Exec(ctx, r.sql.newIncarnation); err != nil {
		return fmt.Errorf("give the server an incarnation: %w", err)
	}
	rows, err := r.conn.Query(ctx, r.sql.epochs)
	if err != nil {
		return err
	}
	m.epochs = nil
	return m.scanLife(rows)
}

// readWindow reads the next events of a window and tells whether there are more.
func (r *feedReader) readWindow(ctx context.Context, w window.Window, opts es.FeedOptions) ([]es.Recorded, bool, error) {
	sql, args, err := r.windowSQL(w, opts)
	if err != nil {
		return nil, false, err
	}
	rows, err := r.conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, false, err
	}
	p, err := collect(rows, opts.MaxEvents, opts.MaxBytes)
	return p.Events, p.More, err
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
