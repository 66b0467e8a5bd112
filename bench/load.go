package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/aggregate"
)

var (
	//go:embed sql/raw_stream.sql
	rawStream string
	//go:embed sql/raw_snapshot.sql
	rawSnapshot string
)

// account is what the events of a stream add up to. It notes what it is handed out of
// turn: an event behind a later one counts as lost there and as repeated here.
type account struct {
	Seq, Cents     int64
	Lost, Repeated int
}

// Apply implements aggregate.Aggregate.
func (a *account) Apply(e event) {
	p := e.(paid)
	switch {
	case p.Seq <= a.Seq:
		a.Repeated++
	case p.Seq > a.Seq+1:
		a.Lost += int(p.Seq - a.Seq - 1)
	}
	a.Seq = max(a.Seq, p.Seq)
	a.Cents += p.Cents
}

// addTo adds what was wrong with a load of so many events to a line of the table.
func (a *account) addTo(r *result, events int) {
	r.Lost += a.Lost + max(events-int(a.Seq), 0)
	r.Repeated += a.Repeated
}

var accounts = aggregate.Define("bench", union, func() *account { return new(account) })

// loads loads aggregates of so many events, one after another by one goroutine, or by
// more.
type loads struct {
	events, goroutines int
	ratio              *float64 // of the time, to stay below
	least              *float64 // loads a second, to reach
}

// run loads aggregates drawn at random from a log of 100 k events.
func (l loads) run(ctx context.Context, b *bed) ([]result, error) {
	streams := 100_000 / l.events
	if b.quick {
		streams = 10_000 / l.events
	}
	if err := b.fill(ctx, streams, l.events); err != nil {
		return nil, err
	}
	pool, store, err := b.widen(ctx, l.goroutines)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	repo := aggregate.NewRepository(store, accounts)
	return l.compare(ctx, b, func() string { return strconv.Itoa(rand.IntN(streams)) }, repo, func(ctx context.Context, key string) (*account, error) {
		return b.rawAccount(ctx, pool, new(account), key, 1)
	})
}

// compare measures loads of the aggregates that key names.
func (l loads) compare(ctx context.Context, b *bed, key func() string, repo *aggregate.Repository[*account, event],
	raw func(ctx context.Context, key string) (*account, error),
) ([]result, error) {
	verdicts := make([]result, l.goroutines)
	loaded := func(ctx context.Context, n int) error {
		root, err := repo.Load(ctx, key())
		if err != nil {
			return err
		}
		if root.Version() != int64(l.events) {
			return fmt.Errorf("%s was loaded at version %d, not %d", root.Stream(), root.Version(), l.events)
		}
		root.State().addTo(&verdicts[n], l.events)
		return nil
	}
	selected := func(ctx context.Context, _ int) error {
		a, err := raw(ctx, key())
		if err == nil && a.Seq != int64(l.events) {
			err = fmt.Errorf("the reference has %d events, not %d", a.Seq, l.events)
		}
		return err
	}
	var ours, reference speed
	err := b.takeTurns(ctx,
		func() error { return ours.callFor(ctx, b, l.goroutines, loaded) },
		func() error { return reference.callFor(ctx, b, l.goroutines, selected) })
	if err != nil {
		return nil, err
	}
	var r result
	for _, v := range verdicts {
		r.Lost, r.Repeated = r.Lost+v.Lost, r.Repeated+v.Repeated
	}
	if l.goroutines > 1 {
		r.Name, r.Unit = fmt.Sprintf("load-%d-by-%d", l.events, l.goroutines), "loads/s"
		r.Ours, r.Reference = median(ours.perSecond), median(reference.perSecond)
	} else {
		r.Name, r.Unit = fmt.Sprintf("load-%d", l.events), "ms"
		r.Ours, r.Reference = median(ours.medians), median(reference.medians)
	}
	return []result{r.timed(ours.times).judge(goal{mostRatio: l.ratio, least: l.least})}, nil
}

// rawAccount is what a program without peat would do to load the same: it adds the
// events of a stream from a version on to a state.
func (b *bed) rawAccount(ctx context.Context, pool *pgxpool.Pool, a *account, key string, from int64) (*account, error) {
	rows, err := pool.Query(ctx, b.inSchema(rawStream), "bench-"+key, from)
	if err != nil {
		return a, err
	}
	var (
		version, position    int64
		id                   [16]byte
		eventType            string
		data, blob, metadata []byte
		at                   time.Time
	)
	_, err = pgx.ForEachRow(rows, []any{&version, &position, &id, &eventType, &data, &blob, &metadata, &at}, func() error {
		e, err := union.Decode(eventType, data, false)
		if err != nil {
			return err
		}
		a.Apply(e)
		return nil
	})
	return a, err
}

const (
	snapshotEvents = 10_000
	snapshotTail   = 50 // events behind the snapshot
)

// loadSnapshot loads an aggregate of 10,000 events from its snapshot and the events
// behind it.
func loadSnapshot(ctx context.Context, b *bed) ([]result, error) {
	const before = snapshotEvents - snapshotTail
	streams := 10
	if b.quick {
		streams = 2
	}
	if err := b.fill(ctx, streams, before-1); err != nil {
		return nil, err
	}
	repo := aggregate.NewRepository(b.store, accounts.WithSnapshots(aggregate.Snapshots{Every: before}))
	for n := range streams {
		for _, upTo := range []int64{before, snapshotEvents} { // the first save takes the snapshot
			if err := grow(ctx, repo, n, upTo); err != nil {
				return nil, err
			}
		}
	}
	l := loads{events: snapshotEvents, goroutines: 1}
	results, err := l.compare(ctx, b, func() string { return strconv.Itoa(rand.IntN(streams)) }, repo, func(ctx context.Context, key string) (*account, error) {
		var version int64
		var state []byte
		if err := b.pool.QueryRow(ctx, b.inSchema(rawSnapshot), "bench-"+key).Scan(&version, &state); err != nil {
			return nil, err
		}
		a := new(account)
		if err := json.Unmarshal(state, a); err != nil {
			return nil, err
		}
		return b.rawAccount(ctx, b.pool, a, key, version+1)
	})
	for i := range results {
		results[i].Name = "load-snapshot"
	}
	return results, err
}

// grow saves the events of stream n that are missing up to a version.
func grow(ctx context.Context, repo *aggregate.Repository[*account, event], n int, upTo int64) error {
	root, err := repo.Load(ctx, strconv.Itoa(n))
	if err != nil {
		return err
	}
	for seq := root.Version() + 1; seq <= upTo; seq++ {
		root.Record(paid{Stream: n, Seq: seq, Cents: 7, From: "account-" + strconv.Itoa(n), Note: "rent of the month, paid"})
	}
	return repo.Save(ctx, root)
}
