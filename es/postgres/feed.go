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
	r := &feedReader{session: &s.session, conn: conn.Conn(), opts: opts}
	batch, now, err := window.Next(ctx, r, behind, opts, s.known.Load())
	if now != nil {
		s.known.Store(now)
	}
	return batch, err
}

// feedReader reads one batch on one connection. It implements [window.Log].
type feedReader struct {
	*session
	conn *pgx.Conn
	opts es.FeedOptions
}

// frontier returns a moment of now.
func (r *feedReader) frontier(ctx context.Context) (window.Moment, error) {
	now, _, err := r.Ask(ctx, window.Cursor{}, nil)
	return now, err
}

// Ask implements [window.Log], in one round trip: in a pipeline each statement has its
// own snapshot, in the order that they are sent. The pipeline begins and ends its own
// transaction, as the third statement of a frontier needs.
func (r *feedReader) Ask(ctx context.Context, c window.Cursor, known *window.Life) (window.Moment, window.Page, error) {
	var p window.Page
	m := &moment{}
	pipeline := &pgx.Batch{}
	var taken func(error) error
	if c.To == nil {
		taken = m.take(pipeline, r.sql)
		c.To = &window.Frontier{Epoch: c.From.Epoch}
	}
	pipeline.Queue(r.sql.epochs).Query(m.scan)
	if known != nil {
		sql, args, err := r.windowSQL(c.Window(known.Epochs), r.opts, taken != nil)
		if err != nil {
			return m.Moment, p, err
		}
		if taken == nil {
			pipeline.Queue(r.sql.genericPlans)
		}
		pipeline.Queue(sql, args...).Query(func(rows pgx.Rows) error {
			got, err := collect(rows, r.opts.MaxEvents, r.opts.MaxBytes)
			p = window.Page{Events: got.Events, More: got.More}
			return err
		})
	}
	err := r.conn.SendBatch(ctx, pipeline).Close()
	if taken != nil {
		err = taken(err)
	}
	if err == nil && m.Incarnation == "" {
		err = r.incarnate(ctx, m)
	}
	return m.Moment, p, err
}

// moment is a window.Moment that is being read.
type moment struct{ window.Moment }

func (m *moment) scan(rows pgx.Rows) error {
	var e window.Epoch
	_, err := pgx.ForEachRow(rows, []any{&e.Number, &e.Base, &m.Incarnation}, func() error {
		m.Epochs = append(m.Epochs, e)
		return nil
	})
	return err
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
		m.Epoch, m.Next = m.Epochs.Current(), m.Snapshot.Next(uint32(low))
		return nil
	}
}

// incarnate gives a server that has crashed, or is new to the log, its incarnation.
func (r *feedReader) incarnate(ctx context.Context, m *moment) error {
	if _, err := r.conn.Exec(ctx, r.sql.newIncarnation); err != nil {
		return fmt.Errorf("give the server an incarnation: %w", err)
	}
	rows, err := r.conn.Query(ctx, r.sql.epochs)
	if err != nil {
		return err
	}
	m.Life = window.Life{}
	return m.scan(rows)
}

// Backstop implements [window.Log].
func (r *feedReader) Backstop(ctx context.Context, w window.Window, events []es.Recorded) error {
	streams, versions := make([]string, len(events)), make([]int64, len(events))
	for i, e := range events {
		streams[i], versions[i] = e.Stream.String(), e.Version
	}
	sql, args, err := r.backstopSQL(w, streams, versions)
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

// Holds implements [window.Log].
func (r *feedReader) Holds(ctx context.Context, w window.Window) (bool, error) {
	return r.holds(ctx, r.conn, w)
}
