package main

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// span is how long one side of a round lasts in a scenario that calls something again
// and again.
func (b *bed) span() time.Duration {
	if b.quick {
		return 100 * time.Millisecond
	}
	return 2 * time.Second
}

// speed is what the rounds of one side took.
type speed struct {
	perSecond []float64 // of each round
	medians   []float64 // milliseconds of a call, of each round
	times     []time.Duration
}

// callFor hammers f for a round, and adds that.
func (s *speed) callFor(ctx context.Context, b *bed, goroutines int, f func(ctx context.Context, n int) error) error {
	perSecond, times, err := b.hammer(ctx, goroutines, f)
	s.add(times)
	s.perSecond = append(s.perSecond, perSecond)
	return err
}

// hammer has so many goroutines call f, each with its own number, as fast as it
// returns, for the span of a round. It answers the calls per second and how long each
// took. An error ends it.
func (b *bed) hammer(ctx context.Context, goroutines int, f func(ctx context.Context, n int) error) (perSecond float64, took []time.Duration, err error) {
	group, ctx := errgroup.WithContext(ctx)
	times := make([][]time.Duration, goroutines)
	began := time.Now()
	for n := range goroutines {
		group.Go(func() error {
			for before := began; before.Sub(began) < b.span(); {
				if err := f(ctx, n); err != nil {
					return err
				}
				after := time.Now()
				times[n] = append(times[n], after.Sub(before))
				before = after
			}
			return nil
		})
	}
	err = group.Wait()
	elapsed := time.Since(began)
	took = slices.Concat(times...)
	return float64(len(took)) / elapsed.Seconds(), took, err
}

// add adds the times of a round.
func (s *speed) add(times []time.Duration) {
	s.times = append(s.times, times...)
	s.medians = append(s.medians, percentile(times, 0.5))
}
