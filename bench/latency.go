package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

const (
	// pace is the pause before an append: longer than what a delivery leaves to do, so
	// that every append finds the runner idle.
	pace = 10 * time.Millisecond
	// lanes is how many streams the appends take turns on.
	lanes = 10
)

// traffic appends events one by one to the streams of a category.
type traffic struct {
	bed      *bed
	category string
	next     int // how many there are
}

// append writes the next event, and answers when it began to and when it had.
func (t *traffic) append(ctx context.Context) (e paid, before, after time.Time, err error) {
	e = paid{Stream: t.next % lanes, Seq: int64(t.next/lanes + 1), Cents: 7, From: "account-1", Note: "rent of the month, paid"}
	data, err := json.Marshal(e)
	if err != nil {
		return e, before, after, err
	}
	stream := es.StreamID{Category: t.category, Key: strconv.Itoa(e.Stream)}
	before = time.Now()
	_, err = t.bed.store.Append(ctx, stream, es.Exact(e.Seq-1), es.EventData{Type: e.EventType(), Data: data})
	after = time.Now()
	t.next++
	return e, before, after, err
}

// delay is how long an event took to its handler.
type delay struct {
	fromCall   []time.Duration // of Append
	fromReturn []time.Duration // of it
}

func (d *delay) add(before, after, handled time.Time) {
	d.fromCall, d.fromReturn = append(d.fromCall, handled.Sub(before)), append(d.fromReturn, handled.Sub(after))
}

// medians are those of a round.
func (d *delay) medians() (fromCall, fromReturn float64) {
	return percentile(d.fromCall, 0.5), percentile(d.fromReturn, 0.5)
}

func (d *delay) join(other delay) {
	d.fromCall, d.fromReturn = append(d.fromCall, other.fromCall...), append(d.fromReturn, other.fromReturn...)
}

// handling is an event and when its handler was called.
type handling struct {
	event paid
	at    time.Time
}

// caughtUpRunner starts a runner in this process that hands over the events of a category,
// and returns when it has nothing to do. The tally notes what it hands over.
func (b *bed) caughtUpRunner(ctx context.Context, category string, t *tally) (*running, <-chan handling, error) {
	arrived := make(chan handling, 1)
	handler := subscribe.Func[event](func(ctx context.Context, e es.Envelope[event]) error {
		h := handling{e.Event.(paid), time.Now()}
		t.add(h.event.Stream, e.Version)
		select {
		case arrived <- h:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	p := newPolls()
	run, err := start(ctx, b.store, subscribe.RunnerOptions{Tracers: subscribe.Tracers{Poll: p}}, subscribe.Consumer{
		Name: category, Filter: es.Filter{Categories: []string{category}}, Delivery: subscribe.AtLeastOnce(subscribe.Each(union, handler)),
	})
	if err != nil {
		return nil, nil, err
	}
	if _, err := await(ctx, run, p.empty); err != nil {
		_ = run.end() // which the error tells
		return nil, nil, err
	}
	return run, arrived, nil
}

// measure appends an event and waits for it, as long as more says so.
func (t *traffic) measure(ctx context.Context, run *running, arrived <-chan handling, more func(n int) bool) (d delay, err error) {
	for n := 0; more(n); n++ {
		time.Sleep(pace)
		e, before, after, err := t.append(ctx)
		if err != nil {
			return d, err
		}
		h, err := await(ctx, run, arrived)
		if err != nil {
			return d, err
		}
		if h.event != e {
			return d, fmt.Errorf("event %d of stream %d was appended, %d of %d came", e.Seq, e.Stream, h.event.Seq, h.event.Stream)
		}
		d.add(before, after, h.at)
	}
	return d, nil
}
