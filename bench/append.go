package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/peatlog/peat/es"
)

var (
	//go:embed sql/create_rows.sql
	createRows string
	//go:embed sql/insert_row.sql
	insertRow string
	//go:embed sql/compare_appended.sql
	compareAppended string
)

// appends is so many goroutines that append one event after another, each to its own
// stream and each expecting the version that it left there.
type appends struct {
	goroutines int
	ratio      float64 // to reach
}

func (a appends) run(ctx context.Context, b *bed) ([]result, error) {
	if _, err := b.pool.Exec(ctx, b.inSchema(createRows)); err != nil {
		return nil, err
	}
	connections := min(a.goroutines, mostConnections)
	wide, err := b.widePool(ctx, connections)
	if err != nil {
		return nil, err
	}
	defer wide.Close()
	r := result{Name: fmt.Sprintf("append-%d", a.goroutines), Unit: "appends/s"}
	var ours, reference []float64
	var took []time.Duration
	versions := make([]int64, a.goroutines) // of the streams
	insert := b.inSchema(insertRow)
	rows := make([]int64, connections)
	err = b.takeTurns(ctx, func() error {
		speed, times, err := b.hammer(ctx, a.goroutines, func(ctx context.Context, n int) error {
			e := payment(n, versions[n]+1)
			data, err := json.Marshal(e)
			if err != nil {
				return err
			}
			stream := es.StreamID{Category: "bench", Key: strconv.Itoa(n)}
			done, err := b.store.Append(ctx, stream, es.Exact(versions[n]), es.EventData{Type: e.EventType(), Data: data})
			versions[n] = done.Version
			return err
		})
		ours, took = append(ours, speed), append(took, times...)
		return err
	}, func() error {
		speed, _, err := b.hammer(ctx, connections, func(ctx context.Context, n int) error {
			rows[n]++
			e := payment(n, rows[n])
			data, err := json.Marshal(e)
			if err != nil {
				return err
			}
			_, err = wide.Exec(ctx, insert, "bench-"+strconv.Itoa(n), e.Seq, e.EventType(), data)
			return err
		})
		reference = append(reference, speed)
		return err
	})
	if err != nil {
		return nil, err
	}
	return b.appended(ctx, r, versions, ours, reference, took, goal{ratio: &a.ratio})
}

// appended returns the result of rounds after which stream n is at versions[n].
func (b *bed) appended(ctx context.Context, r result, versions []int64, ours, reference []float64, took []time.Duration, g goal) ([]result, error) {
	if err := b.compareAppended(ctx, versions, &r); err != nil {
		return nil, err
	}
	r.Ours, r.Reference = median(ours), median(reference)
	return []result{r.timed(took).judge(g)}, nil
}

func payment(stream int, seq int64) paid {
	return paid{Stream: stream, Seq: seq, Cents: seq*100 + 7, From: "account-" + strconv.Itoa(stream), Note: "rent of the month, paid"}
}

// compareAppended adds to r what the log lacks, has twice and has in the wrong place,
// where stream n was appended to up to versions[n].
func (b *bed) compareAppended(ctx context.Context, versions []int64, r *result) error {
	streams := make([]int, len(versions))
	for n := range streams {
		streams[n] = n
	}
	var lost, repeated, misplaced int
	err := b.pool.QueryRow(ctx, b.inSchema(compareAppended), streams, versions).Scan(&lost, &repeated, &misplaced)
	if err != nil {
		return fmt.Errorf("compare with what was appended: %w", err)
	}
	r.Lost, r.Repeated, r.Reordered = r.Lost+lost, r.Repeated+repeated, r.Reordered+misplaced
	return nil
}
