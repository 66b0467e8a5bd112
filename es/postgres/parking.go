package postgres

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
)

var _ es.ParkingLot = (*Store)(nil)

// Parked implements [es.ParkingLot].
func (s *Store) Parked(ctx context.Context, subscriptions ...string) ([]es.Parked, error) {
	rows, err := s.db.Query(ctx, s.sql.parked, subscriptions)
	if err != nil {
		return nil, fmt.Errorf("look for parked events: %w", err)
	}
	parked, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p es.Parked, err error) {
		var stream string
		err = row.Scan(&p.Subscription, &p.Position, &stream, &p.Version, &p.Error, &p.Attempts, &p.ParkedAt, &p.Redrive)
		if err == nil {
			p.Stream, err = es.ParseStreamID(stream)
		}
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("look for parked events: %w", err)
	}
	return parked, nil
}

// Discarded implements [es.ParkingLot].
func (s *Store) Discarded(ctx context.Context, subscriptions ...string) ([]es.Discarded, error) {
	rows, err := s.db.Query(ctx, s.sql.discarded, subscriptions)
	if err != nil {
		return nil, fmt.Errorf("look for discarded events: %w", err)
	}
	discarded, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d es.Discarded, err error) {
		var stream string
		err = row.Scan(&d.Subscription, &d.Position, &stream, &d.Version, &d.Error, &d.Attempts, &d.By, &d.Reason, &d.DiscardedAt)
		if err == nil {
			d.Stream, err = es.ParseStreamID(stream)
		}
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("look for discarded events: %w", err)
	}
	return discarded, nil
}

// ReadParked implements [es.ParkingLot].
func (s *Store) ReadParked(ctx context.Context, subscription string, stream es.StreamID, limit int) ([]es.Recorded, error) {
	if err := stream.Validate(); err != nil {
		return nil, err
	}
	if limit <= 0 {
		return nil, nil
	}
	rows, err := s.db.Query(ctx, s.sql.readParked, subscription, stream.String(), limit)
	if err != nil {
		return nil, fmt.Errorf("read the parked events of %s: %w", stream, err)
	}
	p, err := collect(rows, limit, math.MaxInt)
	if err != nil {
		return nil, fmt.Errorf("read the parked events of %s: %w", stream, err)
	}
	return p.Events, nil
}

// RequestRedrive implements [es.ParkingLot].
func (s *Store) RequestRedrive(ctx context.Context, stream es.StreamID, subscriptions ...string) (int, error) {
	id := "" // all
	if stream != (es.StreamID{}) {
		if err := stream.Validate(); err != nil {
			return 0, err
		}
		id = stream.String()
	}
	n, err := s.change(ctx, s.sql.requestRedrive, id, subscriptions)
	if err != nil {
		return 0, fmt.Errorf("request a redrive: %w", err)
	}
	return n, nil
}

// Discard implements [es.ParkingLot].
func (s *Store) Discard(ctx context.Context, stream es.StreamID, version int64, by, reason string, subscriptions ...string) error {
	if err := stream.Validate(); err != nil {
		return err
	}
	n, err := s.change(ctx, s.sql.discard, stream.String(), version, subscriptions, clean(by), clean(reason))
	if err == nil && n == 0 {
		err = es.ErrNotParked
	}
	if err != nil {
		return fmt.Errorf("discard %s version %d: %w", stream, version, err)
	}
	return nil
}

// change runs a statement that answers a number, and lets other sessions know.
func (s *Store) change(ctx context.Context, sql string, args ...any) (n int, err error) {
	batch := &pgx.Batch{}
	batch.Queue(sql, args...).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
	s.queueChanged(batch)
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return 0, statementError(err)
	}
	return n, nil
}
