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

// callFor has so many goroutines call f, each with its own number, as fast as it
// returns, for the span of a round, and adds the round. An error ends it.
func (s *speed) callFor(ctx context.Context, b *bed, goroutines int, f func(ctx context.Context, n int) error) error {
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
	if err := group.Wait(); err != nil {
		return err
	}
	elapsed := time.Since(began)
	all := slices.Concat(times...)
	s.add(all)
	s.perSecond = append(s.perSecond, float64(len(all))/elapsed.Seconds())
	return nil
}

// add adds the times of a round.
func (s *speed) add(times []time.Duration) {
	s.times = append(s.times, times...)
	s.medians = append(s.medians, percentile(times, 0.5))
}
