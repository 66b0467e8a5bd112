package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"
)

const (
	failoverTTL     = time.Second
	failoverRecheck = 200 * time.Millisecond
	// failoverPace is the pause between appends, part of which is in every figure.
	failoverPace = 5 * time.Millisecond
)

// What a takeover may take: of a process that did not say good-bye, and of one that did.
const (
	killed  = failoverTTL + failoverRecheck + 100*time.Millisecond
	stopped = 100 * time.Millisecond
)

// failover has one process take over from another.
type failover struct {
	name   string
	most   time.Duration
	signal syscall.Signal // what the one that works gets
}

// run lets two processes at a time keep the balances of a log that goes on growing.
// The one that works gets a signal; the other one's first commit ends the time.
func (f failover) run(ctx context.Context, b *bed) (_ []result, err error) {
	rounds := 10
	if b.quick {
		rounds = 3
	}
	if _, err := b.pool.Exec(ctx, b.inSchema(createBalances)); err != nil {
		return nil, err
	}
	load := b.keepAppending(ctx)
	w := &watch{bed: b}
	defer func() { err = errors.Join(err, load.end()); w.end() }()
	if err := w.next(ctx); err != nil {
		return nil, err
	}
	first, err := w.at.next(ctx)
	if err != nil {
		return nil, err
	}
	w.seen = append(w.seen, first)
	var times []time.Duration
	for range rounds {
		took, err := w.takeOver(ctx, f.signal)
		if err != nil {
			return nil, err
		}
		times = append(times, took)
	}
	if err := load.end(); err != nil {
		return nil, err
	}
	r := result{Name: f.name, Unit: "ms", Ours: percentile(times, 0.5)}
	if err := b.settle(ctx, &r); err != nil {
		return nil, err
	}
	w.end()
	r.Reordered = w.reordered(load.traffic.next)
	most := float64(f.most.Milliseconds())
	return []result{r.timed(times).judge(goal{max: &most})}, nil
}

// watch are the children: one that works, and what all have reported.
type watch struct {
	bed  *bed
	at   *process // the one that works, or is about to
	seen []report
}

// next starts another child, which works when nobody else does.
func (w *watch) next(ctx context.Context) (err error) {
	w.at, err = w.bed.spawn(ctx, orders{TTL: failoverTTL, Recheck: failoverRecheck, Project: true})
	return err
}

// takeOver sends the child that works a signal, and returns how long it takes until
// the next one has handled an event.
func (w *watch) takeOver(ctx context.Context, signal syscall.Signal) (time.Duration, error) {
	before := w.at
	defer func() { w.seen = append(w.seen, before.end()...) }()
	if err := w.next(ctx); err != nil {
		return 0, err
	}
	if err := w.bed.awaitSessions(ctx, 2); err != nil {
		return 0, err
	}
	if len(w.at.reports) > 0 {
		return 0, errors.New("the second process works although the first one does")
	}
	start := time.Now()
	if err := before.cmd.Process.Signal(signal); err != nil {
		return 0, fmt.Errorf("the process that works: %w", err)
	}
	first, err := w.at.next(ctx)
	w.seen = append(w.seen, first)
	return time.Unix(0, first.Now).Sub(start), err
}

// end kills the last child.
func (w *watch) end() {
	if w.at != nil {
		w.seen = append(w.seen, w.at.end()...)
		w.at = nil
	}
}

// reordered counts the events that were handled behind a later one of their stream, by
// any process. What a process handled and could not report any more is not looked at.
func (w *watch) reordered(events int) int {
	slices.SortStableFunc(w.seen, func(a, b report) int { return cmp.Compare(a.Now, b.Now) })
	t := newTally(lanes, events/lanes+1)
	for _, r := range w.seen {
		t.add(r.Stream, r.Version)
	}
	return t.reordered
}

// settle waits until the balances hold the log, and adds to r what they never did.
func (b *bed) settle(ctx context.Context, r *result) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		var now result
		if err := b.compareBalances(ctx, &now); err != nil {
			return err
		}
		if now.Lost == 0 || time.Now().After(deadline) {
			r.Lost, r.Repeated = r.Lost+now.Lost, r.Repeated+now.Repeated
			return nil
		}
	}
}

// appending is traffic that goes on by itself.
type appending struct {
	traffic *traffic
	stop    context.CancelFunc
	ended   chan struct{} // closed behind err
	err     error
}

func (b *bed) keepAppending(ctx context.Context) *appending {
	a := &appending{traffic: &traffic{bed: b, category: "bench"}, ended: make(chan struct{})}
	stop, cancel := context.WithCancel(ctx)
	a.stop = cancel
	go func() {
		defer close(a.ended)
		for stop.Err() == nil && a.err == nil {
			_, _, _, a.err = a.traffic.append(ctx) // to its end, so that what there is, is known
			time.Sleep(failoverPace)
		}
	}()
	return a
}

// end stops the traffic. It may be called twice.
func (a *appending) end() error {
	a.stop()
	<-a.ended
	return a.err
}
