package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

// mostGrowth is the goal of a log that has grown: its times against those of a small one.
const mostGrowth = 1.2

// growth compares a log of so many events with one of 10 k: an append of one event to a
// stream drawn at random, and the poll that then finds it. With --quick the log has a
// hundredth of the events.
func growth(events int) func(ctx context.Context, b *bed) ([]result, error) {
	return func(ctx context.Context, b *bed) (_ []result, err error) {
		calls := 500
		if b.quick {
			events, calls = events/100, 50
		}
		small, err := newBed(ctx, b.dsn, b.quick)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, small.close(context.WithoutCancel(ctx))) }()
		grown, reference := &tail{bed: b, streams: events / 100}, &tail{bed: small, streams: 100}
		for _, t := range []*tail{grown, reference} {
			if err := t.begin(ctx); err != nil {
				return nil, err
			}
		}
		err = b.takeTurns(ctx,
			func() error { return grown.measure(ctx, calls) },
			func() error { return reference.measure(ctx, calls) })
		if err != nil {
			return nil, err
		}
		name := "growth-" + short(events)
		return []result{
			grown.verdict(result{Name: name + "-append", Unit: "ms"}, grown.appends, reference.appends),
			grown.verdict(result{Name: name + "-poll", Unit: "ms"}, grown.polls, reference.polls),
		}, nil
	}
}

// short prints 1000000 as 1M.
func short(events int) string {
	if events%1_000_000 == 0 {
		return fmt.Sprintf("%dM", events/1_000_000)
	}
	return fmt.Sprintf("%dk", events/1000)
}

// tail is the end of a log of streams of 100 events each, and a subscription that is there.
type tail struct {
	bed     *bed
	streams int
	sub     *subscribe.Subscription

	appends, polls speed
	wrong          result // what the polls delivered
}

// begin fills the log and goes to its end.
func (t *tail) begin(ctx context.Context) error {
	if err := t.bed.fill(ctx, t.streams, 100); err != nil {
		return err
	}
	if _, err := t.bed.pool.Exec(ctx, "CHECKPOINT"); err != nil { // not in the middle of a round
		return err
	}
	var err error
	t.sub, err = t.bed.caughtUp(ctx)
	return err
}

// measure appends events one by one and polls each.
func (t *tail) measure(ctx context.Context, calls int) error {
	var appends, polls []time.Duration
	for range calls {
		e := paid{Stream: rand.IntN(t.streams), Cents: 7, From: "account-1", Note: "rent of the month, paid"}
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		stream := es.StreamID{Category: "bench", Key: strconv.Itoa(e.Stream)}
		began := time.Now()
		appended, err := t.bed.store.Append(ctx, stream, es.Any, es.EventData{Type: e.EventType(), Data: data})
		if err != nil {
			return err
		}
		between := time.Now()
		batch, err := t.sub.Poll(ctx)
		if err != nil {
			return err
		}
		appends, polls = append(appends, between.Sub(began)), append(polls, time.Since(between))
		t.check(batch, appended.Position)
	}
	t.appends.add(appends)
	t.polls.add(polls)
	return nil
}

// check takes note of what a poll delivered that should have found one event.
func (t *tail) check(batch []es.Recorded, want int64) {
	found := 0
	for _, e := range batch {
		if e.Position == want {
			found++
		}
	}
	if found == 0 {
		t.wrong.Lost++
	}
	t.wrong.Repeated += len(batch) - min(found, 1)
}

func (t *tail) verdict(r result, ours, reference speed) result {
	r.Ours, r.Reference = median(ours.medians), median(reference.medians)
	r.Lost, r.Repeated, r.Reordered = t.wrong.Lost, t.wrong.Repeated, t.wrong.Reordered
	return r.timed(ours.times).judge(goal{mostRatio: new(mostGrowth)})
}
