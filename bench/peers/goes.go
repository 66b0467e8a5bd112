package main

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/google/uuid"
	"github.com/modernice/goes/aggregate"
	"github.com/modernice/goes/aggregate/repository"
	"github.com/modernice/goes/backend/postgres"
	"github.com/modernice/goes/codec"
	"github.com/modernice/goes/event"
	"github.com/modernice/goes/event/eventbus"
	"github.com/modernice/goes/event/eventstore"
	"github.com/modernice/goes/event/query"
)

const goesEvent = "bench.paid"

// goesAccount is an aggregate of modernice/goes.
type goesAccount struct {
	*aggregate.Base
	seq, cents int64
}

func newGoesAccount(id uuid.UUID) *goesAccount {
	a := &goesAccount{Base: aggregate.New("bench", id)}
	event.ApplyWith(a, func(e event.Of[paid]) {
		a.seq = e.Data().Seq
		a.cents += e.Data().Cents
	}, goesEvent)
	return a
}

// goesSpace is the namespace of the ids of streams.
var goesSpace = uuid.MustParse("2f0d6f6b-0b8f-4f0e-9f3b-5a6f6f0c1d22")

func goesID(stream int) uuid.UUID { return uuid.NewSHA1(goesSpace, []byte(strconv.Itoa(stream))) }

func openGoes(ctx context.Context, dsn, schema string) (*library, error) {
	pool, err := openPool(ctx, dsn, schema)
	if err != nil {
		return nil, err
	}
	events := codec.New()
	codec.Register[paid](events, goesEvent)
	store := postgres.NewEventStore(events, postgres.Pool(pool))
	if err := store.Connect(ctx); err != nil {
		return nil, err
	}
	bus := eventbus.New()
	published := eventstore.WithBus(store, bus)
	g := &goes{store: store, bus: bus, repo: repository.New(published)}
	return &library{append: g.append, load: g.load, replay: g.replay, follow: g.follow, close: pool.Close}, nil
}

type goes struct {
	store    event.Store
	bus      event.Bus
	repo     *repository.Repository
	accounts sync.Map // of streams
}

func (g *goes) append(ctx context.Context, stream, n int) error {
	kept, ok := g.accounts.Load(stream)
	if !ok {
		kept, _ = g.accounts.LoadOrStore(stream, newGoesAccount(goesID(stream)))
	}
	a := kept.(*goesAccount)
	for range n {
		aggregate.Next(a, goesEvent, payment(stream, a.seq+1))
	}
	return g.repo.Save(ctx, a)
}

func (g *goes) load(ctx context.Context, stream int) (int64, error) {
	a := newGoesAccount(goesID(stream))
	err := g.repo.Fetch(ctx, a)
	return a.seq, err
}

func (g *goes) replay(ctx context.Context, handle func(paid)) error {
	events, errs, err := g.store.Query(ctx, query.New(query.Name(goesEvent), query.SortByTime()))
	if err != nil {
		return err
	}
	return drained(events, errs, handle)
}

// drained hands over all events until both channels are closed, and returns the errors.
func drained(events <-chan event.Event, errs <-chan error, handle func(paid)) error {
	var failed error
	for events != nil || errs != nil {
		select {
		case e, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			handle(e.Data().(paid))
		case err, ok := <-errs:
			if !ok {
				errs = nil
				continue
			}
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// follow subscribes to the bus of this process: on PostgreSQL there is no other way.
func (g *goes) follow(ctx context.Context, handle func(paid)) (func() error, error) {
	ctx, cancel := context.WithCancel(ctx)
	events, errs, err := g.bus.Subscribe(ctx, goesEvent)
	if err != nil {
		cancel()
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- drained(events, errs, handle) }()
	return func() error {
		cancel()
		return <-ended
	}, nil
}
