package proptest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

// LoadCheckpoint implements [es.Checkpointer].
func (l *Log) LoadCheckpoint(ctx context.Context, subscription string) (es.Checkpoint, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	cp, revision := l.db.load(nil, subscription)
	return cp, revision, ctx.Err()
}

// ClaimCheckpoint implements [es.Checkpointer]. Deliveries under way are ended.
func (l *Log) ClaimCheckpoint(ctx context.Context, subscription, holder string) (cp es.Checkpoint, revision int64, err error) {
	err = l.within(ctx, func(t *transaction) error {
		for _, d := range slices.Collect(maps.Keys(l.deliveries)) {
			if l.deliveries[d] == subscription {
				d.rollback()
			}
		}
		cp, revision, err = l.db.claim(t, subscription, holder)
		return err
	})
	if err != nil {
		return "", 0, fmt.Errorf("claim the checkpoint of subscription %q: %w", subscription, err)
	}
	return cp, revision, nil
}

// SaveProgress implements [es.Checkpointer].
func (l *Log) SaveProgress(ctx context.Context, p es.Progress) error {
	return l.within(ctx, func(t *transaction) error { return l.db.save(t, p) })
}

// SaveProgress stores the progress of a subscription together with everything else in
// the transaction. When it gives an error, the transaction has failed.
func (tx *Tx) SaveProgress(ctx context.Context, p es.Progress) error {
	return tx.do(ctx, func(t *transaction) error { return tx.log.db.save(t, p) })
}

// Deliver implements [es.Transactor].
func (l *Log) Deliver(ctx context.Context, f func(tx *Tx) error, p es.Progress) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	tx, end := l.open(ctx)
	defer end()
	l.delivering(tx.t, p.Subscription)
	defer l.delivering(tx.t, "")
	if err := f(tx); err != nil {
		if l.ended(tx.t) && !errors.Is(err, es.ErrInterrupted) {
			return fmt.Errorf("%w: %w", errEnded, err)
		}
		return err
	}
	if err := tx.SaveProgress(ctx, p); err != nil {
		if errors.Is(err, errFailed) {
			return fmt.Errorf("%w: an error of an earlier statement was not returned: %w", es.ErrRejected, err)
		}
		return err
	}
	return tx.Commit()
}

// delivering notes that a transaction delivers events of a subscription, or no longer.
func (l *Log) delivering(t *transaction, subscription string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if subscription == "" {
		delete(l.deliveries, t)
	} else {
		l.deliveries[t] = subscription
	}
}

func (l *Log) ended(t *transaction) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return t.state == aborted
}

// TakeOver implements [es.Transactor]. It does not wait for the new generation to come
// as far as the live one.
func (l *Log) TakeOver(ctx context.Context, o es.TakeOver, f func(tx *Tx) error) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("begin: %w", err)
	}
	tx, end := l.open(ctx)
	defer end()
	var row projectionRow
	ready := false
	err := tx.do(ctx, func(t *transaction) (err error) {
		row, ready, err = l.db.ready(t, o)
		return err
	})
	if !ready || err != nil {
		return false, takeOverError(o, err)
	}
	if f != nil {
		if err := f(tx); err != nil {
			return false, err
		}
	}
	err = tx.do(ctx, func(t *transaction) error { return l.db.replace(t, o, row) })
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return false, takeOverError(o, err)
	}
	l.leases.changed()
	return true, nil
}

func takeOverError(o es.TakeOver, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("take over projection %q: %w", o.Name, err)
}

// Readers implements [es.Monitor].
func (l *Log) Readers(ctx context.Context, subscriptions ...string) ([]es.Reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	readers := make([]es.Reader, len(subscriptions))
	for i, name := range subscriptions {
		readers[i] = l.db.reader(name)
		readers[i].Held = l.leases.held(name)
	}
	return readers, ctx.Err()
}

// RecordFailure implements [es.Monitor]. It does nothing when the reader was overtaken.
func (l *Log) RecordFailure(ctx context.Context, subscription string, revision int64, reason string) error {
	return l.within(ctx, func(t *transaction) error { return l.db.recordFailure(t, subscription, revision, reason) })
}

// Lag implements [es.Monitor]. It counts all there is.
func (l *Log) Lag(_ context.Context, behind es.Checkpoint, opts es.FeedOptions) (es.Lag, error) {
	opts, err := opts.WithDefaults()
	if err != nil {
		return es.Lag{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	lag, err := l.db.lag(behind, opts)
	if err != nil {
		return es.Lag{}, fmt.Errorf("lag: %w", err)
	}
	return lag, nil
}

func (l *tables) lag(behind es.Checkpoint, opts es.FeedOptions) (es.Lag, error) {
	c, err := window.ParseAt(behind, opts.Horizon)
	if err != nil {
		return es.Lag{}, err
	}
	opts.MaxEvents, opts.MaxBytes = 0, 1<<62
	f := feeder{tables: l, opts: opts, pause: func(string) {}}
	now := window.Moment{Frontier: f.frontier(), Life: l.life()}
	if c, err = now.Resume(c, behind); err != nil {
		return es.Lag{}, err
	}
	windows, err := c.UpTo(now)
	if err != nil {
		return es.Lag{}, err
	}
	lag := es.Lag{Done: c.Done(now.LastPosition)}
	for _, w := range windows {
		for _, e := range f.page(w).Events {
			lag.Events++
			lag.Age = max(lag.Age, l.now().Sub(e.RecordedAt), time.Duration(0))
		}
	}
	return lag, nil
}

// Delivered implements [es.Monitor].
func (l *Log) Delivered(_ context.Context, position int64, segments []string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.db.delivered(position, segments)
}

// Parked implements [es.ParkingLot].
func (l *Log) Parked(ctx context.Context, subscriptions ...string) ([]es.Parked, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.db.parkedOf(nil, subscriptions), ctx.Err()
}

// Discarded implements [es.ParkingLot].
func (l *Log) Discarded(ctx context.Context, subscriptions ...string) ([]es.Discarded, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []es.Discarded
	for _, key := range l.db.discarded.keys(nil) {
		if d, _ := l.db.discarded.get(nil, key); slices.Contains(subscriptions, d.Subscription) {
			all = append(all, d)
		}
	}
	return all, ctx.Err()
}

// ReadParked implements [es.ParkingLot].
func (l *Log) ReadParked(ctx context.Context, subscription string, stream es.StreamID, limit int) ([]es.Recorded, error) {
	if err := stream.Validate(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var events []es.Recorded
	for _, e := range l.db.ofStream(nil, stream) {
		if _, ok := l.db.parked.get(nil, parkedKey(subscription, e.Row.Position)); ok && len(events) < limit {
			events = append(events, e.Recorded)
		}
	}
	return events, ctx.Err()
}

// RequestRedrive implements [es.ParkingLot].
func (l *Log) RequestRedrive(ctx context.Context, stream es.StreamID, subscriptions ...string) (asked int, err error) {
	if stream != (es.StreamID{}) {
		if err := stream.Validate(); err != nil {
			return 0, err
		}
	}
	err = l.within(ctx, func(t *transaction) error {
		asked, err = l.db.redrive(t, stream, subscriptions)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("request a redrive: %w", err)
	}
	l.leases.changed()
	return asked, nil
}

// Discard implements [es.ParkingLot].
func (l *Log) Discard(ctx context.Context, stream es.StreamID, version int64, by, reason string, subscriptions ...string) error {
	if err := stream.Validate(); err != nil {
		return err
	}
	err := l.within(ctx, func(t *transaction) error { return l.db.discard(t, stream, version, by, reason, subscriptions) })
	if err != nil {
		return fmt.Errorf("discard %s version %d: %w", stream, version, err)
	}
	l.leases.changed()
	return nil
}

// Generations implements [es.GenerationStore].
func (l *Log) Generations(ctx context.Context, name string, segments int) (g es.Generations, err error) {
	err = l.within(ctx, func(t *transaction) error {
		row, ok := l.db.projections.get(nil, name)
		if !ok {
			row, err = l.db.projection(t, name, max(segments, 1))
		}
		g = row.Generations
		return err
	})
	if err != nil {
		return es.Generations{}, fmt.Errorf("generations of projection %q: %w", name, err)
	}
	return g, nil
}

// BeginRebuild implements [es.GenerationStore].
func (l *Log) BeginRebuild(ctx context.Context, name string, segments int, keep bool) (g es.Generations, err error) {
	err = l.within(ctx, func(t *transaction) error {
		g, err = l.db.beginRebuild(t, name, max(segments, 1), keep)
		return err
	})
	if err != nil {
		return es.Generations{}, fmt.Errorf("rebuild projection %q: %w", name, err)
	}
	l.leases.changed()
	return g, nil
}

// CancelRebuild implements [es.GenerationStore].
func (l *Log) CancelRebuild(ctx context.Context, o es.TakeOver) error {
	if err := l.within(ctx, func(t *transaction) error { return l.db.cancelRebuild(t, o) }); err != nil {
		return fmt.Errorf("cancel the rebuild of projection %q: %w", o.Name, err)
	}
	l.leases.changed()
	return nil
}

// Switch implements [es.GenerationStore].
func (l *Log) Switch(ctx context.Context, o es.TakeOver, f func() error) (bool, error) {
	return l.TakeOver(ctx, o, func(*Tx) error { return f() })
}
