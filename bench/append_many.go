package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
)

var (
	//go:embed sql/create_copied.sql
	createCopied string
	//go:embed sql/default_xid.sql
	defaultXID string
)

// copied is what the reference gives COPY; the rest are defaults.
var copied = []string{"stream_no", "stream_version", "event_id", "stream_id", "category", "event_type", "data"}

// appendMany is appends of 100 events by a few goroutines, each on its own stream,
// against as many connections that COPY 100 rows at a time into a table with the same
// columns and indexes.
func appendMany(ctx context.Context, b *bed) ([]result, error) {
	const goroutines, each = 4, 100
	wide, err := b.widePool(ctx, goroutines)
	if err != nil {
		return nil, err
	}
	defer wide.Close()
	for _, create := range []string{createCopied, defaultXID} {
		if _, err := b.pool.Exec(ctx, b.inSchema(create)); err != nil {
			return nil, err
		}
	}
	r := result{Name: "append-of-100", Unit: "events/s"}
	var ours, reference []float64
	var took []time.Duration
	versions, rows := make([]int64, goroutines), make([]int64, goroutines)
	err = b.takeTurns(ctx, func() error {
		speed, times, err := b.hammer(ctx, goroutines, func(ctx context.Context, n int) error {
			events := make([]es.EventData, each)
			for i := range events {
				e := payment(n, versions[n]+int64(i)+1)
				data, err := json.Marshal(e)
				if err != nil {
					return err
				}
				events[i] = es.EventData{Type: e.EventType(), Data: data}
			}
			done, err := b.store.Append(ctx, es.StreamID{Category: "bench", Key: strconv.Itoa(n)}, es.Exact(versions[n]), events...)
			versions[n] = done.Version
			return err
		})
		ours, took = append(ours, each*speed), append(took, times...)
		return err
	}, func() error {
		speed, _, err := b.hammer(ctx, goroutines, func(ctx context.Context, n int) error {
			source := pgx.CopyFromSlice(each, func(int) ([]any, error) {
				rows[n]++
				e := payment(n, rows[n])
				data, err := json.Marshal(e)
				if err != nil {
					return nil, err
				}
				id, err := uuid.NewV7()
				return []any{n, rows[n], [16]byte(id), "bench-" + strconv.Itoa(n), "bench", e.EventType(), data}, err
			})
			_, err := wide.CopyFrom(ctx, pgx.Identifier{b.schema, "copied"}, copied, source)
			return err
		})
		reference = append(reference, each*speed)
		return err
	})
	if err != nil {
		return nil, err
	}
	return b.appended(ctx, r, versions, ours, reference, took, goal{ratio: new(0.8), least: new(100_000.0)})
}
