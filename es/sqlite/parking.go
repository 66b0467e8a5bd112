package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/page"
)

var _ es.ParkingLot = (*Store)(nil)

// Parked implements [es.ParkingLot].
func (s *Store) Parked(ctx context.Context, subscriptions ...string) (parked []es.Parked, err error) {
	err = queryRows(ctx, s.db, s.sql.parked, []any{array(subscriptions)}, func(scan scan) error {
		var p es.Parked
		var stream string
		var at int64
		err := scan(&p.Subscription, &p.Position, &stream, &p.Version, &p.Error, &p.Attempts, &at, &p.Redrive)
		if err != nil {
			return err
		}
		p.ParkedAt = moment(at)
		p.Stream, err = es.ParseStreamID(stream)
		parked = append(parked, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("parked: %w", err)
	}
	return parked, nil
}

// Discarded implements [es.ParkingLot].
func (s *Store) Discarded(ctx context.Context, subscriptions ...string) (discarded []es.Discarded, err error) {
	err = queryRows(ctx, s.db, s.sql.discarded, []any{array(subscriptions)}, func(scan scan) error {
		var d es.Discarded
		var stream string
		var at int64
		err := scan(&d.Subscription, &d.Position, &stream, &d.Version, &d.Error, &d.Attempts, &d.By, &d.Reason, &at)
		if err != nil {
			return err
		}
		d.DiscardedAt = moment(at)
		d.Stream, err = es.ParseStreamID(stream)
		discarded = append(discarded, d)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("discarded: %w", err)
	}
	return discarded, nil
}

// ReadParked implements [es.ParkingLot]. It stops early behind an event with which
// the payloads reach 4 MiB; 0 is no limit of its own.
func (s *Store) ReadParked(ctx context.Context, subscription string, stream es.StreamID, limit int) ([]es.Recorded, error) {
	if err := stream.Validate(); err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = -1
	}
	var p page.Page
	err := s.readPage(ctx, s.sql.readParked, []any{subscription, stream.String(), limit}, func(r *row) (int, error) {
		return add(&p, r, stream)
	})
	if err != nil {
		return nil, fmt.Errorf("read what is parked of %s: %w", stream, err)
	}
	return p.Events, nil
}

// RequestRedrive implements [es.ParkingLot]. The sessions of this Store hear of it.
func (s *Store) RequestRedrive(ctx context.Context, stream es.StreamID, subscriptions ...string) (n int, err error) {
	id := ""
	if stream != (es.StreamID{}) {
		if err := stream.Validate(); err != nil {
			return 0, err
		}
		id = stream.String()
	}
	err = s.change(ctx, func(ctx context.Context, in *session) (err error) {
		n, err = in.exec(ctx, in.sql.requestRedrive, id, array(subscriptions))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("request a redrive: %w", err)
	}
	if n > 0 {
		s.leases.changed()
	}
	return n, nil
}

// Discard implements [es.ParkingLot]. The sessions of this Store hear of it.
func (s *Store) Discard(ctx context.Context, stream es.StreamID, version int64, by, reason string, subscriptions ...string) error {
	if err := stream.Validate(); err != nil {
		return err
	}
	err := s.change(ctx, func(ctx context.Context, in *session) error {
		which := []any{stream.String(), version, array(subscriptions)}
		n, err := in.exec(ctx, in.sql.recordDiscard, append(which, by, reason, time.Now().UnixMicro())...)
		if err != nil {
			return err
		}
		if n == 0 {
			return es.ErrNotParked
		}
		_, err = in.exec(ctx, in.sql.discard, which...)
		return err
	})
	if err != nil {
		return fmt.Errorf("discard %s version %d: %w", stream, version, err)
	}
	s.leases.changed()
	return nil
}
