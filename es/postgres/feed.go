package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"

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
	opts.MaxEvents, opts.MaxBytes = cmp.Or(opts.MaxEvents, 500), cmp.Or(opts.MaxBytes, 4<<20)
	if err := opts.Validate(); err != nil {
		return es.Batch{}, err
	}
	batch, err := s.feed(ctx, behind, opts)
	if err != nil {
		return es.Batch{}, fmt.Errorf("feed: %w", err)
	}
	return batch, nil
}

func (s *Store) feed(ctx context.Context, behind es.Checkpoint, opts es.FeedOptions) (es.Batch, error) {
	c, epochs, err := s.openWindow(ctx, behind, opts.Horizon)
	if err != nil || c.To == nil {
		return es.Batch{Next: behind}, err
	}
	events, more, err := s.readWindow(ctx, c.Window(epochs), opts)
	if err != nil {
		return es.Batch{}, err
	}
	if err := s.backstop(ctx, c, epochs, events); err != nil {
		return es.Batch{}, err
	}
	b := es.Batch{Events: events}
	next := c
	if len(events) > 0 {
		b.Prefix = func(n int) es.Checkpoint {
			if n == len(events) {
				return b.Next
			}
			return c.Delivered(events[:n]).Checkpoint()
		}
		next = c.Delivered(events)
	}
	if !more {
		next = next.Close()
	}
	b.Next = next.Checkpoint()
	return b, nil
}

// openWindow returns the cursor of a checkpoint with its window open, or without
// one where there is nothing new.
func (s *Store) openWindow(ctx context.Context, behind es.Checkpoint, horizon es.Horizon) (window.Cursor, window.Epochs, error) {
	var c window.Cursor
	if behind != "" {
		var err error
		if c, err = window.Parse(behind); err != nil {
			return c, nil, fmt.Errorf("%w: %w", es.ErrCheckpoint, err)
		}
		if c.Horizon != horizon {
			return c, nil, fmt.Errorf("%w: it is of the horizon %v, not %v; reset the subscription to change it", es.ErrCheckpoint, c.Horizon, horizon)
		}
		if c.To != nil {
			epochs, err := s.epochs(ctx)
			return c, epochs, err
		}
	}
	now, epochs, err := s.frontier(ctx)
	if err != nil {
		return c, nil, err
	}
	if behind == "" {
		first, err := epochs.Begin(epochs[0].Number)
		if err != nil {
			return c, nil, err
		}
		c = window.Cursor{Horizon: horizon, From: first}
	}
	to, err := c.Until(now, epochs)
	if err != nil {
		return c, nil, err
	}
	c, _ = c.Open(to)
	return c, epochs, nil
}

// frontier takes a frontier of now, in one round trip: in a pipeline each statement
// has its own snapshot, in the order that they are sent. The pipeline begins and
// ends its own transaction, as the third statement needs.
func (s *Store) frontier(ctx context.Context) (window.Frontier, window.Epochs, error) {
	var f window.Frontier
	var epochs window.Epochs
	var snapshot string
	var standby bool
	var low uint32
	pipeline := &pgx.Batch{}
	pipeline.Queue(s.sql.frontierPosition).QueryRow(func(row pgx.Row) error { return row.Scan(&f.LastPosition) })
	pipeline.Queue(s.sql.frontierSnapshot).QueryRow(func(row pgx.Row) error { return row.Scan(&snapshot, &standby) })
	pipeline.Queue(s.sql.frontierNext).QueryRow(func(row pgx.Row) error {
		var next int64
		err := row.Scan(&next)
		low = uint32(next)
		return err
	})
	pipeline.Queue(s.sql.epochs).Query(func(rows pgx.Rows) (err error) { epochs, err = collectEpochs(rows); return err })
	if err := s.pool.SendBatch(ctx, pipeline).Close(); err != nil {
		return f, nil, fmt.Errorf("take a frontier: %w", err)
	}
	if standby {
		return f, nil, ErrStandby
	}
	var err error
	if f.Snapshot, err = window.ParseSnapshot(snapshot); err != nil {
		return f, nil, err
	}
	f.Epoch, f.Next = epochs.Current(), f.Snapshot.Next(low)
	return f, epochs, nil
}

// epochs returns the epochs of the log.
func (s *Store) epochs(ctx context.Context) (window.Epochs, error) {
	rows, err := s.db.Query(ctx, s.sql.epochs)
	if err != nil {
		return nil, err
	}
	return collectEpochs(rows)
}

func collectEpochs(rows pgx.Rows) (window.Epochs, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e window.Epoch, err error) {
		return e, row.Scan(&e.Number, &e.Base)
	})
}

// readWindow reads the next events of a window and tells whether there are more.
func (s *Store) readWindow(ctx context.Context, w window.Window, opts es.FeedOptions) ([]es.Recorded, bool, error) {
	sql, args, err := s.windowSQL(w, opts)
	if err != nil {
		return nil, false, err
	}
	rows, err := s.db.Query(ctx, sql, args...)
	if err != nil {
		return nil, false, err
	}
	p, err := collect(rows, opts.MaxEvents, opts.MaxBytes)
	return p.Events, p.More, err
}

// backstop checks that none of the events is behind a later one of its stream.
// Only those can be that are not above everything delivered before.
func (s *Store) backstop(ctx context.Context, c window.Cursor, epochs window.Epochs, events []es.Recorded) error {
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
	sql, args, err := s.backstopSQL(c.Window(epochs), streams, versions)
	if err != nil {
		return err
	}
	var stream string
	violation := &es.OrderingViolationError{}
	err = s.db.QueryRow(ctx, sql, args...).Scan(&stream, &violation.Version, &violation.LastDelivered)
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

// endOf returns the last position that rows of a window may have.
func endOf(w window.Window) (base, end int64, err error) {
	if base, end, err = w.Epochs.Bounds(w.From.Epoch); w.To.Epoch == w.From.Epoch {
		end = math.MaxInt64
	}
	return base, end, err
}
