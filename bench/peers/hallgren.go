package main

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hallgren/eventsourcing"
	"github.com/hallgren/eventsourcing/aggregate"
	"github.com/hallgren/eventsourcing/core"
	store "github.com/hallgren/eventsourcing/eventstore/sql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver
)

// hallgrenAccount is an aggregate of hallgren/eventsourcing.
type hallgrenAccount struct {
	aggregate.Root
	seq, cents int64
}

// Transition is the fold.
func (a *hallgrenAccount) Transition(e eventsourcing.Event) {
	p := e.Data().(*paid)
	a.seq = p.Seq
	a.cents += p.Cents
}

// Register names the events.
func (a *hallgrenAccount) Register(register aggregate.RegisterFunc) { register(&paid{}) }

func openHallgren(_ context.Context, dsn, schema string) (*library, error) {
	dsn, err := inSchema(dsn, schema)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	events, err := store.NewPostgres(db)
	if err != nil {
		return nil, err
	}
	aggregate.Register(&hallgrenAccount{})
	h := &hallgren{store: events}
	return &library{append: h.append, load: h.load, replay: h.replay, follow: h.follow, close: func() { _ = db.Close() }}, nil
}

type hallgren struct {
	store    *store.Postgres
	accounts sync.Map // of streams

	position atomic.Uint64 // that the last follower has come to

	mu        sync.Mutex
	followers []*eventsourcing.Projection
}

func (h *hallgren) append(_ context.Context, stream, n int) error {
	kept, ok := h.accounts.Load(stream)
	if !ok {
		fresh := &hallgrenAccount{}
		if err := fresh.SetID(strconv.Itoa(stream)); err != nil {
			return err
		}
		kept, _ = h.accounts.LoadOrStore(stream, fresh)
	}
	a := kept.(*hallgrenAccount)
	for range n {
		p := payment(stream, a.seq+1)
		aggregate.TrackChange(a, &p)
	}
	if err := aggregate.Save(h.store, a); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.followers { // so that none waits for its pace
		f.TriggerAsync()
	}
	return nil
}

func (h *hallgren) load(ctx context.Context, stream int) (int64, error) {
	var a hallgrenAccount
	err := aggregate.Load(ctx, h.store, strconv.Itoa(stream), &a)
	return a.seq, err
}

func (h *hallgren) replay(ctx context.Context, handle func(paid)) error {
	return eventsourcing.NewProjection(h.store.All(0), func(e eventsourcing.Event) error {
		handle(*e.Data().(*paid))
		return nil
	}).RunToEnd(ctx).Error
}

// follow goes on behind the last follower: to keep a projection's position is the
// application's matter.
func (h *hallgren) follow(ctx context.Context, handle func(paid)) (func() error, error) {
	p := eventsourcing.NewProjection(h.store.All(core.Version(h.position.Load()+1)), func(e eventsourcing.Event) error {
		h.position.Store(uint64(e.GlobalVersion()))
		handle(*e.Data().(*paid))
		return nil
	})
	h.mu.Lock()
	h.followers = append(h.followers, p)
	h.mu.Unlock()
	ready := make(chan struct{})
	close(ready) // it polls: nothing is missed
	return background(ctx, ready, func(ctx context.Context) error {
		err := p.Run(ctx, pace)
		h.mu.Lock()
		h.followers = nil
		h.mu.Unlock()
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	}), nil
}

// pace is how often those who poll do so.
const pace = 10 * time.Millisecond
