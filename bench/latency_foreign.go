package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// foreignFor is how long the foreign transaction stays open.
const foreignFor = 3 * time.Second

// latencyForeign is latency-same while a transaction that has nothing to do with the
// log, but has an id, stays open in the same database. There is no reference.
func latencyForeign(ctx context.Context, b *bed) (_ []result, err error) {
	turns := 5
	if b.quick {
		turns = 1
	}
	const most = int(foreignFor/pace) + 1 // in a turn
	t := newTally(lanes, turns*most/lanes+1)
	run, arrived, err := b.caughtUpRunner(ctx, "bench", t)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, run.end()) }()
	load := &traffic{bed: b, category: "bench"}
	var all delay
	var medians []float64
	for range turns {
		err := b.besideForeign(ctx, func() error {
			end := time.Now().Add(foreignFor)
			d, err := load.measure(ctx, run, arrived, func(int) bool { return time.Now().Before(end) })
			all.join(d)
			_, fromReturn := d.medians()
			medians = append(medians, fromReturn)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	r := result{Name: "latency-foreign", Unit: "ms", Ours: median(medians)}
	t.addTo(&r)
	r.Lost -= lanes*t.perStream - load.next // versions that nobody wrote
	return []result{r.timed(all.fromReturn).judge(goal{p99: new(5.0), max: new(100.0)})}, nil
}

// besideForeign runs f while a transaction is open on a connection of its own. It
// fails if that one was not the oldest of the database at the end.
func (b *bed) besideForeign(ctx context.Context, f func() error) error {
	conn, err := pgx.Connect(ctx, b.dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it only rolls back
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	var xid, xmin int64
	if err := tx.QueryRow(ctx, "SELECT pg_current_xact_id()::text::bigint").Scan(&xid); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	if err := b.pool.QueryRow(ctx, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint").Scan(&xmin); err != nil {
		return err
	}
	if xmin > xid {
		return fmt.Errorf("the foreign transaction %d held nothing back: the oldest is %d", xid, xmin)
	}
	return tx.Rollback(ctx)
}
