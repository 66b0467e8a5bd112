package main

import (
	"context"
	"fmt"
	"time"

	"github.com/peatlog/peat/subscribe"
)

// pollIdle polls a log that was read to its end.
func pollIdle(ctx context.Context, b *bed) ([]result, error) {
	if err := b.fill(ctx, 1000, 10); err != nil {
		return nil, err
	}
	sub, err := b.caughtUp(ctx)
	if err != nil {
		return nil, err
	}
	calls := 1000
	if b.quick {
		calls = 200
	}
	var ours, reference idling
	err = b.takeTurns(ctx, func() error {
		return ours.measure(ctx, b, calls, func() error {
			events, err := sub.Poll(ctx)
			if len(events) > 0 {
				return fmt.Errorf("an idle poll delivered %d events", len(events))
			}
			return err
		})
	}, func() error {
		return reference.measure(ctx, b, calls, func() error {
			_, err := b.pool.Exec(ctx, "SELECT 1")
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	// In lines of their own, as each has its own unit and goal.
	return []result{
		result{
			Name: "poll-idle", Unit: "ms", Ours: median(ours.medians), Reference: median(reference.medians),
		}.timed(ours.times).judge(goal{}),
		result{Name: "poll-idle-trips", Unit: "round trips", Ours: median(ours.trips), Reference: median(reference.trips)}.judge(goal{most: new(1.0)}),
		result{Name: "poll-idle-xids", Unit: "xids", Ours: median(ours.xids), Reference: median(reference.xids)}.judge(goal{most: new(0.0)}),
	}, nil
}

// caughtUp returns a subscription that has delivered the whole log.
func (b *bed) caughtUp(ctx context.Context) (*subscribe.Subscription, error) {
	sub, err := subscribe.New(b.store, "idle", subscribe.Options{BatchEvents: replayBatch})
	if err != nil {
		return nil, err
	}
	for {
		if events, err := sub.Poll(ctx); err != nil || len(events) == 0 {
			return sub, err
		}
	}
}

// idling is what one side of the comparison took, per call.
type idling struct {
	times                []time.Duration // of all calls
	medians, trips, xids []float64       // of the rounds
}

func (i *idling) measure(ctx context.Context, b *bed, calls int, call func() error) error {
	before, err := b.nextXID(ctx)
	if err != nil {
		return err
	}
	trips := b.wire.trips.Load()
	var times []time.Duration
	for range calls {
		start := time.Now()
		if err := call(); err != nil {
			return err
		}
		times = append(times, time.Since(start))
	}
	trips = b.wire.trips.Load() - trips
	after, err := b.nextXID(ctx)
	if err != nil {
		return err
	}
	i.times = append(i.times, times...)
	i.medians = append(i.medians, percentile(times, 0.5))
	i.trips = append(i.trips, float64(trips)/float64(calls))
	i.xids = append(i.xids, float64(after-before)/float64(calls))
	return nil
}

// nextXID returns the transaction id that the server hands out next, without
// taking one. On a server that others use, their ids are counted, too.
func (b *bed) nextXID(ctx context.Context) (next int64, err error) {
	err = b.pool.QueryRow(ctx, "SELECT age('3'::xid)").Scan(&next)
	return next, err
}
