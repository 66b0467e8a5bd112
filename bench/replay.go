package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

const replayBatch = 2000

// replay reads the whole log through a subscription and decodes every event.
func replay(ctx context.Context, b *bed) ([]result, error) {
	streams, perStream := 10_000, 100
	if b.quick {
		streams, perStream = 3000, 10
	}
	if err := b.fill(ctx, streams, perStream); err != nil {
		return nil, err
	}
	r := result{Name: "replay", Unit: "events/s"}
	var ours, reference []float64
	var polls []time.Duration
	perSecond := func(start time.Time) float64 { return float64(streams*perStream) / time.Since(start).Seconds() }
	err := b.takeTurns(ctx, func() error {
		t, start := newTally(streams, perStream), time.Now()
		took, err := pollAll(ctx, b.store, fmt.Sprintf("replay %d", len(ours)), t)
		ours, polls = append(ours, perSecond(start)), append(polls, took...)
		t.addTo(&r)
		return err
	}, func() error {
		t, start := newTally(streams, perStream), time.Now()
		err := b.replayRaw(ctx, t)
		reference = append(reference, perSecond(start))
		if n := t.missing(); n > 0 && err == nil {
			err = fmt.Errorf("the reference read %d events too few", n)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	r.Ours, r.Reference = median(ours), median(reference)
	return []result{r.timed(polls).judge(goal{ratio: new(0.85), least: new(600_000.0)})}, nil
}

// pollAll reads a whole log through a subscription and decodes it. It answers how long
// each poll took, without the decoding.
func pollAll(ctx context.Context, store subscribe.Store, name string, t *tally) ([]time.Duration, error) {
	sub, err := subscribe.New(store, name, subscribe.Options{BatchEvents: replayBatch})
	if err != nil {
		return nil, err
	}
	defer sub.Close()
	var took []time.Duration
	for {
		start := time.Now()
		batch, err := sub.Poll(ctx)
		if err != nil || len(batch) == 0 {
			return took, err
		}
		took = append(took, time.Since(start))
		for _, r := range batch {
			e, err := es.Decode(union, r)
			if err != nil {
				return nil, err
			}
			t.add(e.Event.(paid).Stream, e.Version)
		}
	}
}

// replayRaw is what a program without peat would do to read the same.
func (b *bed) replayRaw(ctx context.Context, t *tally) error {
	conn, err := b.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	rows, err := conn.Query(ctx, b.inSchema(rawSelect))
	if err != nil {
		return err
	}
	var (
		stream, eventType    string
		version, position    int64
		id                   [16]byte
		data, blob, metadata []byte
		at                   time.Time
	)
	_, err = pgx.ForEachRow(rows, []any{&stream, &version, &position, &id, &eventType, &data, &blob, &metadata, &at}, func() error {
		e, err := union.Decode(eventType, data, false)
		if err != nil {
			return err
		}
		t.add(e.(paid).Stream, version)
		return nil
	})
	return err
}
