package main

import (
	"context"
	"strconv"
	"sync"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/subscribe"
)

// peatEvent is the union's interface.
type peatEvent interface {
	EventType() string
	isEvent()
}

// EventType implements es.Event.
func (paid) EventType() string { return "bench.paid" }
func (paid) isEvent()          {}

type peatAccount struct{ seq, cents int64 }

// Apply implements aggregate.Aggregate.
func (a *peatAccount) Apply(e peatEvent) {
	p := e.(paid)
	a.seq = p.Seq
	a.cents += p.Cents
}

var (
	peatEvents   = codec.NewUnion(codec.Case(func(e paid) peatEvent { return e }))
	peatAccounts = aggregate.Define("bench", peatEvents, func() *peatAccount { return new(peatAccount) })
)

func openPeat(ctx context.Context, dsn, schema string) (*library, error) {
	pool, err := openPool(ctx, dsn, schema)
	if err != nil {
		return nil, err
	}
	opts := postgres.Options{Schema: schema}
	if err := postgres.Migrate(ctx, pool, opts); err != nil {
		return nil, err
	}
	store, err := postgres.Open(ctx, pool, opts)
	if err != nil {
		return nil, err
	}
	p := &peat{store: store, repo: aggregate.NewRepository(store, peatAccounts)}
	return &library{append: p.append, load: p.load, replay: p.replay, follow: p.follow, close: pool.Close}, nil
}

type peat struct {
	store *postgres.Store
	repo  *aggregate.Repository[*peatAccount, peatEvent]
	roots sync.Map // of streams
}

func (p *peat) append(ctx context.Context, stream, n int) error {
	kept, ok := p.roots.Load(stream)
	if !ok {
		root, err := p.repo.LoadOrNew(ctx, strconv.Itoa(stream))
		if err != nil {
			return err
		}
		kept, _ = p.roots.LoadOrStore(stream, root)
	}
	root := kept.(*aggregate.Root[*peatAccount, peatEvent])
	for range n {
		root.Record(payment(stream, root.State().seq+1))
	}
	return p.repo.Save(ctx, root)
}

func (p *peat) load(ctx context.Context, stream int) (int64, error) {
	root, err := p.repo.Load(ctx, strconv.Itoa(stream))
	if err != nil {
		return 0, err
	}
	return root.State().seq, nil
}

func (p *peat) replay(ctx context.Context, handle func(paid)) error {
	sub, err := subscribe.New(p.store, "replay", subscribe.Options{BatchEvents: 2000})
	if err != nil {
		return err
	}
	defer sub.Close()
	for {
		batch, err := sub.Poll(ctx)
		if err != nil || len(batch) == 0 {
			return err
		}
		for _, r := range batch {
			e, err := es.Decode(peatEvents, r)
			if err != nil {
				return err
			}
			handle(e.Event.(paid))
		}
	}
}

func (p *peat) follow(ctx context.Context, handle func(paid)) (func() error, error) {
	ready := make(chan struct{})
	runner, err := subscribe.NewRunner(p.store, subscribe.RunnerOptions{
		Tracers: subscribe.Tracers{Poll: &firstPoll{ready: ready}},
	}, subscribe.Consumer{
		Name: "follow", Filter: es.Filter{Categories: []string{"bench"}},
		Delivery: subscribe.AtLeastOnce(subscribe.Each(peatEvents, subscribe.Func[peatEvent](func(_ context.Context, e es.Envelope[peatEvent]) error {
			handle(e.Event.(paid))
			return nil
		}))),
	})
	if err != nil {
		return nil, err
	}
	return background(ctx, ready, runner.Run), nil
}

// firstPoll tells when a runner has polled once. It is a PollTracer.
type firstPoll struct {
	once  sync.Once
	ready chan struct{}
}

// TracePoll implements subscribe.PollTracer.
func (f *firstPoll) TracePoll(ctx context.Context, _ string) (context.Context, func(int, error)) {
	return ctx, func(int, error) { f.once.Do(func() { close(f.ready) }) }
}

// background runs something until stop is called, and returns when ready is closed or it
// has ended.
func background(ctx context.Context, ready <-chan struct{}, run func(ctx context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
	}
	return func() error {
		cancel()
		return <-ended
	}
}
