package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
)

var (
	//go:embed sql/create_heads.sql
	createHeads string
	//go:embed sql/fill_heads.sql
	fillHeads string
	//go:embed sql/lock_head.sql
	lockHead string
	//go:embed sql/move_head.sql
	moveHead string
)

var errTooRich = errors.New("too rich")

// pay is the decision: it depends on the state, and its event names the place that it
// expects to get.
func (a *account) pay(stream int) ([]event, error) {
	if a.Cents < 0 {
		return nil, errTooRich
	}
	return []event{paid{Stream: stream, Seq: a.Seq + 1, Cents: 7, From: "account-" + strconv.Itoa(stream), Note: "rent of the month, paid"}}, nil
}

// executes is so many goroutines that execute one command after another, on so many
// streams. A stream gets perStream events, then the next one takes its place; 0 is no
// bound.
type executes struct {
	name                string
	goroutines, streams int
	cache               int
	perStream           int64
	least               float64 // commands per second; 0 is no goal
}

func (x executes) run(ctx context.Context, b *bed) ([]result, error) {
	connections := min(x.goroutines, mostConnections)
	wide, err := b.widePool(ctx, connections)
	if err != nil {
		return nil, err
	}
	defer wide.Close()
	if err := b.prepareByHand(ctx, x.streams); err != nil {
		return nil, err
	}
	repo := aggregate.NewRepository(b.store, accounts).WithStateCache(x.cache)
	r := result{Name: x.name, Unit: "commands/s"}
	var ours, reference []float64
	var took []time.Duration
	landed := newCounts()
	places := make([]int, x.goroutines) // the stream of each
	for n := range places {
		places[n] = n % x.streams
	}
	next := x.streams
	var mu sync.Mutex
	err = b.takeTurns(ctx, func() error {
		speed, times, err := b.hammer(ctx, x.goroutines, func(ctx context.Context, n int) error {
			stream := places[n]
			root, err := repo.Execute(ctx, strconv.Itoa(stream), func(a *account) ([]event, error) { return a.pay(stream) })
			if err != nil {
				return err
			}
			landed.add(stream)
			if x.perStream > 0 && root.Version() >= x.perStream {
				mu.Lock()
				places[n], next = next, next+1
				mu.Unlock()
			}
			return nil
		})
		ours, took = append(ours, speed), append(took, times...)
		return err
	}, func() error {
		speed, _, err := b.hammer(ctx, connections, func(ctx context.Context, n int) error { return b.byHand(ctx, wide, n%x.streams) })
		reference = append(reference, speed)
		return err
	})
	if err != nil {
		return nil, err
	}
	g := goal{}
	if x.least > 0 {
		g.least = &x.least
	}
	return b.appended(ctx, r, landed.versions(), ours, reference, took, g)
}

// counts is how many commands have landed in each stream.
type counts struct {
	mu sync.Mutex
	of map[int]int64
}

func newCounts() *counts { return &counts{of: map[int]int64{}} }

func (c *counts) add(stream int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of[stream]++
}

// versions are those of the streams, by their numbers.
func (c *counts) versions() []int64 {
	highest := -1
	for stream := range c.of {
		highest = max(highest, stream)
	}
	v := make([]int64, highest+1)
	for stream, n := range c.of {
		v[stream] = n
	}
	return v
}

func (b *bed) prepareByHand(ctx context.Context, streams int) error {
	for _, create := range []string{createRows, createHeads} {
		if _, err := b.pool.Exec(ctx, b.inSchema(create)); err != nil {
			return err
		}
	}
	_, err := b.pool.Exec(ctx, b.inSchema(fillHeads), streams)
	return err
}

// byHand is a command without peat: in a transaction it locks a head, looks at it, writes
// a row and moves the head on.
func (b *bed) byHand(ctx context.Context, pool *pgxpool.Pool, stream int) error {
	name := "bench-" + strconv.Itoa(stream)
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		var version int64
		if err := tx.QueryRow(ctx, b.inSchema(lockHead), name).Scan(&version); err != nil {
			return err
		}
		e := payment(stream, version+1)
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		batch := new(pgx.Batch)
		batch.Queue(b.inSchema(insertRow), name, e.Seq, e.EventType(), data)
		batch.Queue(b.inSchema(moveHead), name, e.Seq)
		return tx.SendBatch(ctx, batch).Close()
	})
}

// transfers is a transaction over several streams, by one goroutine each on its own.
func transfers(ctx context.Context, b *bed) ([]result, error) {
	const goroutines, streams = 8, 3
	wide, err := b.widePool(ctx, goroutines)
	if err != nil {
		return nil, err
	}
	defer wide.Close()
	if err := b.prepareByHand(ctx, goroutines*streams); err != nil {
		return nil, err
	}
	store, err := postgres.Open(ctx, wide, postgres.Options{Schema: b.schema})
	if err != nil {
		return nil, err
	}
	r := result{Name: "transaction-3", Unit: "transactions/s"}
	var ours, reference []float64
	var took []time.Duration
	versions, rows := make([]int64, goroutines*streams), make([]int64, goroutines*streams)
	err = b.takeTurns(ctx, func() error {
		speed, times, err := b.hammer(ctx, goroutines, func(ctx context.Context, n int) error {
			return store.InTx(ctx, func(tx *postgres.Tx) error {
				return eachOf(n, streams, versions, func(stream int, e paid, data []byte) error {
					id := es.StreamID{Category: "bench", Key: strconv.Itoa(stream)}
					_, err := tx.Append(ctx, id, es.Exact(e.Seq-1), es.EventData{Type: e.EventType(), Data: data})
					return err
				})
			})
		})
		ours, took = append(ours, speed), append(took, times...)
		return err
	}, func() error {
		speed, _, err := b.hammer(ctx, goroutines, func(ctx context.Context, n int) error {
			return pgx.BeginFunc(ctx, wide, func(tx pgx.Tx) error {
				return eachOf(n, streams, rows, func(stream int, e paid, data []byte) error {
					_, err := tx.Exec(ctx, b.inSchema(insertRow), "bench-"+strconv.Itoa(stream), e.Seq, e.EventType(), data)
					return err
				})
			})
		})
		reference = append(reference, speed)
		return err
	})
	if err != nil {
		return nil, err
	}
	return b.appended(ctx, r, versions, ours, reference, took, goal{})
}

// eachOf calls write with the next event of each of a goroutine's streams.
func eachOf(goroutine, streams int, versions []int64, write func(stream int, e paid, data []byte) error) error {
	for stream := goroutine * streams; stream < (goroutine+1)*streams; stream++ {
		versions[stream]++
		e := payment(stream, versions[stream])
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if err := write(stream, e, data); err != nil {
			return fmt.Errorf("stream %d: %w", stream, err)
		}
	}
	return nil
}
