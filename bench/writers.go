package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/subscribe"
)

//go:embed sql/compare_log.sql
var compareLog string

const (
	writersCount   = 16
	writersStreams = 64
)

// writers has 16 goroutines append to the same 64 streams, each event in the order that
// the goroutine comes to them, through two stores with a pool each, as two processes
// would, while a runner reads. The figure is the events a second from the first append to
// the last handler. There is no reference.
func writers(ctx context.Context, b *bed) (_ []result, err error) {
	perStream := writersCount * 20 // of one round
	if b.quick {
		perStream = writersCount * 2
	}
	rounds := b.rounds()
	t, d := newTally(writersStreams, perStream*rounds), newDelivered(perStream*writersStreams*rounds)
	live := newLive(t, perStream*writersStreams)
	p := newPolls()
	tracers := d.tracers()
	tracers.Poll = p
	run, err := start(ctx, b.store, subscribe.RunnerOptions{Tracers: tracers}, subscribe.Consumer{
		Name: "writers", Filter: es.Filter{Categories: []string{"bench"}}, Delivery: subscribe.AtLeastOnce(subscribe.Each(union, live)),
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, run.end()) }()
	if _, err := await(ctx, run, p.empty); err != nil {
		return nil, err
	}
	var stores [2]*postgres.Store
	for i := range stores {
		pool, store, err := b.widen(ctx, writersCount)
		if err != nil {
			return nil, err
		}
		defer pool.Close()
		stores[i] = store
	}
	r := result{Name: "writers-16", Unit: "events/s"}
	var ours []float64
	var took []time.Duration
	for range rounds {
		began := time.Now()
		times, err := write(ctx, stores[:], perStream/writersCount)
		if err != nil {
			return nil, err
		}
		if _, err := await(ctx, run, live.round); err != nil {
			return nil, err
		}
		ours, took = append(ours, float64(perStream*writersStreams)/time.Since(began).Seconds()), append(took, times...)
	}
	if _, err := await(ctx, run, d.all); err != nil {
		return nil, err
	}
	t.addTo(&r)
	if err := b.compareLog(ctx, writersStreams, perStream*rounds, &r); err != nil {
		return nil, err
	}
	r.Ours = median(ours)
	return []result{r.timed(took).judge(goal{clean: true})}, nil
}

// live is a handler that tells at the end of each round of so many events.
type live struct {
	tally *tally
	every int
	n     int
	round chan struct{}
}

func newLive(t *tally, every int) *live {
	return &live{tally: t, every: every, round: make(chan struct{}, 1)}
}

// Handle implements subscribe.Handler.
func (l *live) Handle(_ context.Context, e es.Envelope[event]) error {
	l.tally.add(e.Event.(paid).Stream, e.Version)
	if l.n++; l.n%l.every == 0 {
		l.round <- struct{}{}
	}
	return nil
}

// write has the writers append so many events each to every stream, and answers how long
// each append took.
func write(ctx context.Context, stores []*postgres.Store, each int) ([]time.Duration, error) {
	group, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex
	var all []time.Duration
	for n := range writersCount {
		group.Go(func() error {
			var times []time.Duration
			for i := range each * writersStreams {
				e := paid{Stream: (i*7 + n*5) % writersStreams, Cents: 7, From: "account-" + strconv.Itoa(n), Note: "rent of the month, paid"}
				data, err := json.Marshal(e)
				if err != nil {
					return err
				}
				stream := es.StreamID{Category: "bench", Key: strconv.Itoa(e.Stream)}
				before := time.Now()
				if _, err := stores[n%len(stores)].Append(ctx, stream, es.Any, es.EventData{Type: e.EventType(), Data: data}); err != nil {
					return err
				}
				times = append(times, time.Since(before))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, times...)
			return nil
		})
	}
	err := group.Wait()
	return all, err
}

// compareLog adds to r what the log lacks of so many streams, and what it has besides.
func (b *bed) compareLog(ctx context.Context, streams, perStream int, r *result) error {
	var lost, repeated int
	if err := b.pool.QueryRow(ctx, b.inSchema(compareLog), "bench", streams, perStream).Scan(&lost, &repeated); err != nil {
		return err
	}
	r.Lost, r.Repeated = r.Lost+lost, r.Repeated+repeated
	return nil
}
