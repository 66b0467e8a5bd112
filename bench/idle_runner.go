package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/subscribe"
)

const (
	idleSubscriptions = 16
	idleEvents        = 1000
	// idleSettle is longer than what the pause between two looks at the log takes to
	// grow to PollInterval.
	idleSettle = 2 * time.Second
)

// idleRunner counts what a runner asks of the server, with its default options, when
// all its subscriptions have caught up. There is no reference.
func idleRunner(ctx context.Context, b *bed) (_ []result, err error) {
	window := 30 * time.Second // three looks at the generations, six renewals
	if b.quick {
		window = 6 * time.Second // one renewal at least
	}
	if err := b.fill(ctx, idleEvents/10, 10); err != nil {
		return nil, err
	}
	var counted statements
	store, done, err := b.openCounted(ctx, &counted)
	if err != nil {
		return nil, err
	}
	defer done()
	d := newDelivered(idleSubscriptions * idleEvents)
	tallies, consumers := idleConsumers()
	run, err := start(ctx, store, subscribe.RunnerOptions{Tracers: d.tracers()}, consumers...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, run.end()) }()
	if _, err := await(ctx, run, d.all); err != nil {
		return nil, err
	}
	time.Sleep(idleSettle)
	firstXID, err := b.nextXID(ctx)
	if err != nil {
		return nil, err
	}
	before, began := counted.n.Load(), time.Now()
	time.Sleep(window)
	perSecond := float64(counted.n.Load()-before) / time.Since(began).Seconds()
	lastXID, err := b.nextXID(ctx)
	if err != nil {
		return nil, err
	}
	r := result{Name: "idle-runner", Unit: "statements/s", Ours: perSecond}
	for _, t := range tallies {
		t.addTo(&r)
	}
	xids := result{Name: "idle-runner-xids", Unit: "xids/s", Ours: float64(lastXID-firstXID) / window.Seconds()}
	return []result{r.judge(goal{most: new(20.0)}), xids.judge(goal{most: new(0.0)})}, nil
}

// idleConsumers are the subscriptions, each with a tally of what it is handed.
func idleConsumers() (tallies []*tally, consumers []subscribe.Consumer) {
	for i := range idleSubscriptions {
		t := newTally(idleEvents/10, 10)
		handler := subscribe.Func[event](func(_ context.Context, e es.Envelope[event]) error {
			t.add(e.Event.(paid).Stream, e.Version)
			return nil
		})
		tallies = append(tallies, t)
		consumers = append(consumers, subscribe.Consumer{
			Name: fmt.Sprintf("idle %d", i), Filter: es.Filter{Categories: []string{"bench"}},
			Delivery: subscribe.AtLeastOnce(subscribe.Each(union, handler)),
		})
	}
	return tallies, consumers
}

// openCounted opens the store on a pool whose statements are counted, also those of
// sessions, which connect as the pool does.
func (b *bed) openCounted(ctx context.Context, counted *statements) (*postgres.Store, func(), error) {
	config := b.pool.Config()
	config.ConnConfig.Tracer = counted
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	store, err := postgres.Open(ctx, pool, postgres.Options{Schema: b.schema})
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return store, pool.Close, nil
}

// statements counts them, those of a batch one by one. It is a pgx tracer.
type statements struct{ n atomic.Int64 }

// TraceQueryStart implements pgx.QueryTracer.
func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.n.Add(1)
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (*statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart implements pgx.BatchTracer.
func (*statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer.
func (s *statements) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) { s.n.Add(1) }

// TraceBatchEnd implements pgx.BatchTracer.
func (*statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

var (
	_ pgx.QueryTracer = (*statements)(nil)
	_ pgx.BatchTracer = (*statements)(nil)
)
