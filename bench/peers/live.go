package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	writerCount = 16
	// quiet is how long nothing comes before what is missing counts as lost.
	quiet = 3 * time.Second
)

// writers has 16 goroutines append single events, each to four streams of its own, while
// a subscriber follows. The figure is the events a second from the first append to the last
// delivery. What has not come when nothing has come for a while is lost.
func writers(ctx context.Context, l *library, r *rounds, quick bool) (err error) {
	each := 400 // of a writer
	if quick {
		each = 40
	}
	t := newTally()
	stop, err := l.follow(ctx, func(p paid) {
		if p.Stream >= r.next { // what earlier rounds wrote, they have counted
			t.add(p)
		}
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	group, appending := errgroup.WithContext(ctx)
	began := time.Now()
	times := make([][]time.Duration, writerCount)
	for n := range writerCount {
		group.Go(func() error {
			for i := range each {
				before := time.Now()
				if err := l.append(appending, r.next+4*n+i%4, 1); err != nil {
					return err
				}
				times[n] = append(times[n], time.Since(before))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	last := t.await(each*writerCount, time.Now())
	r.figures = append(r.figures, float64(t.count())/last.Sub(began).Seconds())
	r.times = append(r.times, slices.Concat(times...)...)
	t.addTo(&r.verdict, each*writerCount)
	r.next += 4 * writerCount
	return nil
}

// await waits for so many events, until nothing has come for a while, and returns when
// the last one came, or the given time if that is later.
func (t *tally) await(events int, last time.Time) time.Time {
	for t.count() < events {
		select {
		case <-t.arrived:
			last = time.Now()
		case <-time.After(quiet):
			return last
		}
	}
	return last
}

// latency appends an event, waits for its delivery in the same process, and pauses. The
// figure runs from the return of the append; a delivery before that counts as 0.
func latency(ctx context.Context, l *library, r *rounds, quick bool) (err error) {
	appends := 100
	if quick {
		appends = 20
	}
	t := newTally()
	came := make(chan time.Time, 1)
	stop, err := l.follow(ctx, func(p paid) {
		if p.Stream == r.next {
			t.add(p)
			came <- time.Now()
		}
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	var times []time.Duration
	for n := range appends {
		time.Sleep(10 * time.Millisecond)
		if err := l.append(ctx, r.next, 1); err != nil {
			return err
		}
		appended := time.Now()
		select {
		case at := <-came:
			times = append(times, max(at.Sub(appended), 0))
		case <-time.After(quiet):
			return fmt.Errorf("event %d has not come", n+1)
		}
	}
	r.times = append(r.times, times...)
	slices.Sort(times)
	r.figures = append(r.figures, float64(times[len(times)/2])/float64(time.Millisecond))
	t.addTo(&r.verdict, appends)
	r.next++
	return nil
}
