package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// scenario measures one thing with every library that can do it.
type scenario struct {
	name, unit string
	// able tells whether a library can do it.
	able func(l *library) bool
	// prepare makes the log; nil leaves it empty.
	prepare func(ctx context.Context, l *library, quick bool) error
	// round measures once.
	round func(ctx context.Context, l *library, r *rounds, quick bool) error
}

// rounds is what the rounds of a library have shown so far.
type rounds struct {
	figures []float64
	times   []time.Duration
	verdict line
	next    int // streams that earlier rounds have used
}

var scenarios = []scenario{
	appends(1, 1), appends(16, 1), appends(64, 1), appends(1, 100),
	{"load-100", "ms", func(l *library) bool { return l.load != nil }, fill(100, 100), loads},
	{"replay", "events/s", func(l *library) bool { return l.replay != nil }, fill(1000, 100), replays},
	{"writers-16", "events/s", func(l *library) bool { return l.follow != nil }, nil, writers},
	{"latency", "ms", func(l *library) bool { return l.follow != nil }, nil, latency},
}

// span is how long a round lasts that does the same thing again and again.
func span(quick bool) time.Duration {
	if quick {
		return 200 * time.Millisecond
	}
	return 2 * time.Second
}

// compare has the libraries take turns, each on a log of its own. Whoever went first in
// one round goes last in the next.
func (s scenario) compare(ctx context.Context, dsn string, quick bool) (lines []line, err error) {
	return s.with(ctx, dsn, quick, contenders, nil, nil)
}

// with opens the libraries one inside the other, and measures when all are open.
func (s scenario) with(ctx context.Context, dsn string, quick bool, rest []contender, names []string, open []*library) (lines []line, err error) {
	if len(rest) == 0 {
		return s.measure(ctx, quick, names, open)
	}
	err = withLibrary(ctx, dsn, rest[0], func(l *library) error {
		if s.able(l) {
			if s.prepare != nil {
				if err := s.prepare(ctx, l, quick); err != nil {
					return fmt.Errorf("%s: %w", rest[0].name, err)
				}
			}
			names, open = append(names, rest[0].name), append(open, l)
		}
		lines, err = s.with(ctx, dsn, quick, rest[1:], names, open)
		return err
	})
	return lines, err
}

func (s scenario) measure(ctx context.Context, quick bool, names []string, libraries []*library) ([]line, error) {
	n := 5
	if quick {
		n = 2
	}
	fmt.Fprintf(os.Stderr, "%s: %d rounds of %v\n", s.name, n, names)
	got, order := make([]rounds, len(libraries)), make([]int, len(libraries))
	for i := range order {
		order[i] = i
	}
	for range n {
		for _, i := range order {
			if err := s.round(ctx, libraries[i], &got[i], quick); err != nil {
				return nil, fmt.Errorf("%s: %w", names[i], err)
			}
		}
		slices.Reverse(order)
	}
	lines := make([]line, len(libraries))
	for i, r := range got {
		l := r.verdict
		l.Name, l.Unit, l.Ours, l.Reference = s.name+"/"+names[i], s.unit, median(r.figures), median(got[0].figures)
		l.Ratio = l.Ours / l.Reference
		lines[i] = l.timed(r.times)
	}
	return lines, nil
}

// fill appends events in the library's own way, 100 at a time.
func fill(streams, each int) func(context.Context, *library, bool) error {
	return func(ctx context.Context, l *library, quick bool) error {
		n := streams
		if quick {
			n /= 10
		}
		for stream := range n {
			if err := l.append(ctx, stream, each); err != nil {
				return err
			}
		}
		return nil
	}
}

// appends is so many goroutines, each on its own stream, that append so many events at a time.
func appends(goroutines, events int) scenario {
	name, unit := fmt.Sprintf("append-%d", goroutines), "appends/s"
	if events > 1 {
		name, unit = fmt.Sprintf("append-of-%d", events), "events/s"
	}
	return scenario{name, unit, func(l *library) bool { return l.append != nil }, nil, func(ctx context.Context, l *library, r *rounds, quick bool) error {
		before := len(r.times)
		elapsed, err := r.hammer(ctx, goroutines, span(quick), func(ctx context.Context, n int) error { return l.append(ctx, n, events) })
		r.figures = append(r.figures, float64((len(r.times)-before)*events)/elapsed.Seconds())
		if err != nil || l.replay == nil {
			return err
		}
		return r.checkLog(ctx, l, len(r.times)*events, quick)
	}}
}

// checkLog reads the whole log once, in the last round, and takes what is wrong with it.
func (r *rounds) checkLog(ctx context.Context, l *library, events int, quick bool) error {
	if n := len(r.figures); !quick && n < 5 || quick && n < 2 {
		return nil
	}
	t := newTally()
	if err := l.replay(ctx, t.add); err != nil {
		return err
	}
	t.addTo(&r.verdict, events)
	return nil
}

// hammer has goroutines call f as fast as it returns.
func (r *rounds) hammer(ctx context.Context, goroutines int, length time.Duration, f func(ctx context.Context, n int) error) (time.Duration, error) {
	group, ctx := errgroup.WithContext(ctx)
	times := make([][]time.Duration, goroutines)
	began := time.Now()
	for n := range goroutines {
		group.Go(func() error {
			for before := began; before.Sub(began) < length; {
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
	err := group.Wait()
	elapsed := time.Since(began)
	r.times = append(r.times, slices.Concat(times...)...)
	return elapsed, err
}

// loads is one goroutine that loads streams of 100 events drawn at random.
func loads(ctx context.Context, l *library, r *rounds, quick bool) error {
	streams := 100
	if quick {
		streams /= 10
	}
	before := len(r.times)
	_, err := r.hammer(ctx, 1, span(quick), func(ctx context.Context, _ int) error {
		last, err := l.load(ctx, rand.IntN(streams))
		r.verdict.Lost += max(100-int(last), 0)
		return err
	})
	round := slices.Sorted(slices.Values(r.times[before:]))
	r.figures = append(r.figures, float64(round[len(round)/2])/float64(time.Millisecond))
	return err
}

// replays reads a log of 100 k events.
func replays(ctx context.Context, l *library, r *rounds, quick bool) error {
	events := 100_000
	if quick {
		events /= 10
	}
	t := newTally()
	began := time.Now()
	if err := l.replay(ctx, t.add); err != nil {
		return err
	}
	r.figures = append(r.figures, float64(events)/time.Since(began).Seconds())
	t.addTo(&r.verdict, events)
	return nil
}
