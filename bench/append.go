package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

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

// mostConnections is how many connections the references use at most.
const mostConnections = 64

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
	if err := b.compareAppended(ctx, "bench", versions, &r); err != nil {
		return nil, err
	}
	r.Ours, r.Reference = median(ours), median(reference)
	return []result{r.timed(took).judge(goal{ratio: &a.ratio})}, nil
}

func payment(stream int, seq int64) paid {
	return paid{Stream: stream, Seq: seq, Cents: seq*100 + 7, From: "account-" + strconv.Itoa(stream), Note: "rent of the month, paid"}
}

// hammer has so many goroutines call f, each with its own number, as fast as it
// returns, for the length of a round. It answers the calls per second and how long
// each took.
func (b *bed) hammer(ctx context.Context, goroutines int, f func(ctx context.Context, n int) error) (perSecond float64, took []time.Duration, err error) {
	length := 3 * time.Second
	if b.quick {
		length = 300 * time.Millisecond
	}
	all, ctx := errgroup.WithContext(ctx)
	times := make([][]time.Duration, goroutines)
	began := time.Now()
	for n := range goroutines {
		all.Go(func() error {
			for before := time.Now(); before.Sub(began) < length; {
				if err := f(ctx, n); err != nil {
					return err
				}
				after := time.Now()
				times[n] = append(times[n], after.Sub(before))
				before = after
			}
			return nil
		})
	}
	err = all.Wait()
	elapsed := time.Since(began)
	for _, t := range times {
		took = append(took, t...)
	}
	return float64(len(took)) / elapsed.Seconds(), took, err
}

// widePool returns a pool of so many open connections. The caller closes it.
func (b *bed) widePool(ctx context.Context, connections int) (*pgxpool.Pool, error) {
	config := b.pool.Config()
	config.MaxConns, config.MinConns = int32(connections), int32(connections)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	held := make([]*pgxpool.Conn, 0, connections)
	for range connections { // so that none is opened while it counts
		conn, err := pool.Acquire(ctx)
		if err != nil {
			pool.Close()
			return nil, err
		}
		held = append(held, conn)
	}
	for _, conn := range held {
		conn.Release()
	}
	return pool, nil
}

// compareAppended adds to r what the log lacks, has twice and has in the wrong place,
// where stream n of the category was appended to up to versions[n].
func (b *bed) compareAppended(ctx context.Context, category string, versions []int64, r *result) error {
	streams := make([]int, len(versions))
	for n := range streams {
		streams[n] = n
	}
	var lost, repeated, misplaced int
	err := b.pool.QueryRow(ctx, b.inSchema(compareAppended), category, streams, versions).Scan(&lost, &repeated, &misplaced)
	if err != nil {
		return fmt.Errorf("compare with what was appended: %w", err)
	}
	r.Lost, r.Repeated, r.Reordered = r.Lost+lost, r.Repeated+repeated, r.Reordered+misplaced
	return nil
}
