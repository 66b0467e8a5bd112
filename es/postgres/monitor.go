package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

var _ es.Monitor = (*Store)(nil)

// maxLag is up to how many events [Store.Lag] counts.
const maxLag = 100_000

// Readers implements [es.Monitor].
func (s *Store) Readers(ctx context.Context, subscriptions ...string) ([]es.Reader, error) {
	rows, err := s.db.Query(ctx, s.sql.readers, s.opts.Schema, subscriptions)
	if err != nil {
		return nil, fmt.Errorf("look for readers: %w", err)
	}
	readers, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r es.Reader, err error) {
		var claimed, updated *time.Time
		err = row.Scan(&r.Checkpoint, &r.Revision, &r.Holder, &r.Held, &claimed, &updated, &r.Error, &r.Parked)
		if claimed != nil {
			r.ClaimedAt = *claimed
		}
		if updated != nil {
			r.UpdatedAt = *updated
		}
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("look for readers: %w", err)
	}
	return readers, nil
}

// RecordFailure implements [es.Monitor]. It does nothing when the reader was overtaken.
func (s *Store) RecordFailure(ctx context.Context, subscription string, revision int64, reason string) error {
	if _, err := s.pool.Exec(ctx, s.sql.recordFailure, subscription, revision, clean(reason)); err != nil {
		return fmt.Errorf("record the failure of subscription %q: %w", subscription, statementError(err))
	}
	return nil
}

// Lag implements [es.Monitor]. Its errors are those of [Store.Feed].
func (s *Store) Lag(ctx context.Context, behind es.Checkpoint, opts es.FeedOptions) (es.Lag, error) {
	opts, err := opts.WithDefaults()
	if err != nil {
		return es.Lag{}, err
	}
	lag, err := s.lag(ctx, behind, opts)
	if err != nil {
		return es.Lag{}, fmt.Errorf("lag: %w", err)
	}
	return lag, nil
}

func (s *Store) lag(ctx context.Context, behind es.Checkpoint, opts es.FeedOptions) (es.Lag, error) {
	c, err := window.ParseAt(behind, opts.Horizon)
	if err != nil {
		return es.Lag{}, err
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return es.Lag{}, err
	}
	defer conn.Release()
	r := &feedReader{session: &s.session, conn: conn.Conn()}
	now, err := r.frontier(ctx)
	if err != nil {
		return es.Lag{}, err
	}
	if c, err = now.Resume(c, behind); err != nil {
		return es.Lag{}, err
	}
	windows, err := c.UpTo(now)
	if err != nil {
		return es.Lag{}, err
	}
	lag := es.Lag{Done: c.Done(now.LastPosition)}
	for _, w := range windows {
		opts.MaxEvents = maxLag + 1 - lag.Events
		sql, args, err := r.windowSQL(w, opts, false)
		if err != nil {
			return es.Lag{}, err
		}
		var events int
		var age float64
		if err := r.conn.QueryRow(ctx, windowIn(s.sql.lag, sql), args...).Scan(&events, &age); err != nil {
			return es.Lag{}, err
		}
		lag.Events += events
		lag.Age = max(lag.Age, time.Duration(age*float64(time.Second)))
		if lag.Events > maxLag {
			lag.Events, lag.More = maxLag, true
			break
		}
	}
	return lag, nil
}

// Delivered implements [es.Monitor].
func (s *Store) Delivered(ctx context.Context, position int64, segments []string) (bool, error) {
	delivered, err := s.delivered(ctx, position, segments)
	if err != nil {
		return false, fmt.Errorf("look whether position %d is delivered: %w", position, err)
	}
	return delivered, nil
}

func (s *Store) delivered(ctx context.Context, position int64, segments []string) (bool, error) {
	if len(segments) == 0 {
		return false, errors.New("no subscription is named")
	}
	var xid, held string
	var cp es.Checkpoint
	var m moment
	batch := &pgx.Batch{}
	batch.Queue(s.sql.readerOf, position, segments).QueryRow(func(row pgx.Row) error { return row.Scan(&xid, &held, &cp) })
	batch.Queue(s.sql.epochs).Query(m.scan) // second, so that the event's epoch is among them
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		if errors.Is(err, pgx.ErrNoRows) {
			err = errors.New("there is no event")
		}
		return false, err
	}
	c, err := window.ParseAny(cp, m.Epochs)
	if err != nil {
		return false, err
	}
	row := window.Row{Position: position}
	for text, id := range map[*string]*window.XID{&xid: &row.XID, &held: &row.HeldUntil} {
		n, err := strconv.ParseUint(*text, 10, 64)
		if err != nil {
			return false, err
		}
		*id = window.XID(n)
	}
	return c.Has(m.Epochs, row), nil
}

// windowIn puts the statement of a window into one that is about it.
func windowIn(text, window string) string { return strings.Replace(text, "{window}", window, 1) }
