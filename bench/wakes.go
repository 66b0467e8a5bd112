package main

import (
	"context"
	"errors"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

// wakeQuiet is how long no poll may come after the last delivery: three times
// PollInterval.
const wakeQuiet = 3 * time.Second

// wakes counts the polls of a subscription that has caught up, for appends that one
// goroutine makes one after another without a pause. There is no reference.
func wakes(ctx context.Context, b *bed) (_ []result, err error) {
	appends := 3000
	if b.quick {
		appends = 500
	}
	t, d, p := newTally(lanes, appends/lanes), newDelivered(appends), newPolls()
	var atLast int64
	d.then = func() { atLast = p.n.Load() }
	handler := subscribe.Func[event](func(_ context.Context, e es.Envelope[event]) error {
		t.add(e.Event.(paid).Stream, e.Version)
		return nil
	})
	tracers := d.tracers()
	tracers.Poll = p
	run, err := start(ctx, b.store, subscribe.RunnerOptions{Tracers: tracers}, subscribe.Consumer{
		Name: "wakes", Filter: es.Filter{Categories: []string{"bench"}}, Delivery: subscribe.AtLeastOnce(subscribe.Each(union, handler)),
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, run.end()) }()
	if _, err := await(ctx, run, p.empty); err != nil {
		return nil, err
	}
	before := p.n.Load()
	load := &traffic{bed: b, category: "bench"}
	for range appends {
		if _, _, _, err := load.append(ctx); err != nil {
			return nil, err
		}
	}
	if _, err := await(ctx, run, d.all); err != nil {
		return nil, err
	}
	if b.quick {
		time.Sleep(wakeQuiet / 3)
	} else {
		time.Sleep(wakeQuiet)
	}
	r := result{Name: "wakes", Unit: "polls", Ours: float64(atLast - before)}
	t.addTo(&r)
	after := result{Name: "wakes-after", Unit: "polls", Ours: float64(p.n.Load() - atLast)}
	return []result{r.judge(goal{most: new(float64(appends))}), after.judge(goal{most: new(0.0)})}, nil
}
