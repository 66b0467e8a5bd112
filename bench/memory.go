package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"

	"github.com/peatlog/peat/aggregate"
)

// memory counts what a load of 100 events and a replay allocate, per event.
func memory(ctx context.Context, b *bed) ([]result, error) {
	streams, perStream := 1000, 100
	if b.quick {
		streams = 100
	}
	if err := b.fill(ctx, streams, perStream); err != nil {
		return nil, err
	}
	repo := aggregate.NewRepository(b.store, accounts)
	load := &usage{name: "memory-load"}
	err := b.takeTurns(ctx, func() error {
		return load.ours.count(streams*perStream, func() error {
			for n := range streams {
				root, err := repo.Load(ctx, strconv.Itoa(n))
				if err != nil {
					return err
				}
				root.State().addTo(&load.wrong, perStream)
			}
			return nil
		})
	}, func() error {
		return load.reference.count(streams*perStream, func() error {
			for n := range streams {
				if _, err := b.rawAccount(ctx, b.pool, new(account), strconv.Itoa(n), 1); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	replay := &usage{name: "memory-replay"}
	err = b.takeTurns(ctx, func() error {
		t := newTally(streams, perStream)
		err := replay.ours.count(streams*perStream, func() error {
			_, err := pollAll(ctx, b.store, fmt.Sprintf("replay %d", len(replay.ours.bytes)), t)
			return err
		})
		t.addTo(&replay.wrong)
		return err
	}, func() error {
		t := newTally(streams, perStream)
		return replay.reference.count(streams*perStream, func() error { return b.replayRaw(ctx, t) })
	})
	if err != nil {
		return nil, err
	}
	return append(load.results(), replay.results()...), nil
}

// usage is what the two sides allocate.
type usage struct {
	name            string
	ours, reference allocated
	wrong           result
}

// allocated is what each round allocated, per event.
type allocated struct{ bytes, objects []float64 }

// count adds a round of so many events.
func (a *allocated) count(events int, f func() error) error {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := f(); err != nil {
		return err
	}
	runtime.ReadMemStats(&after)
	a.bytes = append(a.bytes, float64(after.TotalAlloc-before.TotalAlloc)/float64(events))
	a.objects = append(a.objects, float64(after.Mallocs-before.Mallocs)/float64(events))
	return nil
}

// results are a line of bytes and one of objects.
func (u *usage) results() []result {
	size := u.wrong
	size.Name, size.Unit, size.Ours, size.Reference = u.name, "B/event", median(u.ours.bytes), median(u.reference.bytes)
	objects := u.wrong
	objects.Name, objects.Unit, objects.Ours, objects.Reference = u.name+"-allocs", "allocs/event", median(u.ours.objects), median(u.reference.objects)
	return []result{size.judge(goal{}), objects.judge(goal{})}
}
