package main

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"math"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
	"github.com/peatlog/peat/subscribe"
)

// sqliteReplay reads the whole log through a subscription, and decodes it.
func sqliteReplay(ctx context.Context, b *bed, f *file) ([]result, error) {
	streams, perStream := 1000, 100
	if b.quick {
		perStream = 10
	}
	if err := f.fill(ctx, streams, perStream); err != nil {
		return nil, err
	}
	r := result{Name: "sqlite-replay", Unit: "events/s"}
	var ours, reference []float64
	var polls []time.Duration
	perSecond := func(start time.Time) float64 { return float64(streams*perStream) / time.Since(start).Seconds() }
	err := b.takeTurns(ctx, func() error {
		t, start := newTally(streams, perStream), time.Now()
		took, err := pollAll(ctx, f.store, fmt.Sprintf("replay %d", len(ours)), t)
		ours, polls = append(ours, perSecond(start)), append(polls, took...)
		t.addTo(&r)
		return err
	}, func() error {
		t, start := newTally(streams, perStream), time.Now()
		err := f.selectRaw(ctx, sqlitePage, func(p paid, _ int64) { t.add(p.Stream, p.Seq) }, 0, math.MaxInt32)
		reference = append(reference, perSecond(start))
		return err
	})
	if err != nil {
		return nil, err
	}
	r.Ours, r.Reference = median(ours), median(reference)
	return []result{r.timed(polls).judge(goal{})}, nil
}

var (
	//go:embed sql/sqlite_balances.sql
	sqliteBalances string
	//go:embed sql/sqlite_upsert.sql
	sqliteUpsert string
)

const (
	sqliteStreams = 1000
	sqliteBatch   = 500 // events of a transaction
)

// sqliteProject keeps a table of one row per stream by one upsert per event, in
// transactions of 500 events that also store the progress. The reference does the same
// in its own file, without progress.
func sqliteProject(ctx context.Context, b *bed, f *file) ([]result, error) {
	perStream := 100
	if b.quick {
		perStream = 5
	}
	if err := f.fill(ctx, sqliteStreams, perStream); err != nil {
		return nil, err
	}
	if _, err := f.raw.ExecContext(ctx, sqliteBalances); err != nil {
		return nil, err
	}
	r := result{Name: "sqlite-projection-each", Unit: "events/s"}
	var ours, reference []float64
	var took []time.Duration
	events := sqliteStreams * perStream
	perSecond := func(start time.Time) float64 { return float64(events) / time.Since(start).Seconds() }
	err := b.takeTurns(ctx, func() error {
		if err := f.emptyBalances(ctx); err != nil {
			return err
		}
		d, start := newDelivered(events), time.Now()
		err := f.project(ctx, fmt.Sprintf("project %d", len(ours)), perStream, d, &r)
		ours, took = append(ours, perSecond(start)), append(took, d.took...)
		return err
	}, func() error {
		start := time.Now()
		err := f.projectRaw(ctx)
		reference = append(reference, perSecond(start))
		return err
	})
	if err != nil {
		return nil, err
	}
	r.Ours, r.Reference = median(ours), median(reference)
	return []result{r.timed(took).judge(goal{})}, nil
}

func (f *file) emptyBalances(ctx context.Context) error {
	return f.store.InTx(ctx, func(tx *sqlite.Tx) error {
		for _, text := range []string{"DROP TABLE IF EXISTS balances", sqliteBalances} {
			if _, err := tx.SQL().ExecContext(ctx, text); err != nil {
				return err
			}
		}
		return nil
	})
}

// project runs the projection up to the end of the log, and adds what is wrong with the
// table to r.
func (f *file) project(ctx context.Context, name string, perStream int, d *delivered, r *result) error {
	t := newTally(sqliteStreams, perStream)
	run, err := start(ctx, f.store, subscribe.RunnerOptions{Tracers: d.tracers()}, subscribe.Consumer{
		Name: name, Filter: es.Filter{Categories: []string{"bench"}}, BatchEvents: sqliteBatch,
		Delivery: subscribe.Transactional(f.store, subscribe.EachIn(union, func(ctx context.Context, tx *sql.Tx, e es.Envelope[event]) error {
			p := e.Event.(paid)
			t.add(p.Stream, p.Seq)
			_, err := tx.ExecContext(ctx, sqliteUpsert, p.Stream, p.Cents)
			return err
		})),
	})
	if err != nil {
		return err
	}
	_, err = await(ctx, run, d.all)
	if ended := run.end(); err == nil {
		err = ended
	}
	if err != nil {
		return err
	}
	r.Reordered += t.reordered
	return f.store.InTx(ctx, func(tx *sqlite.Tx) error {
		rows, err := tx.SQL().QueryContext(ctx, "SELECT stream, events FROM balances")
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // rows.Err says it
		missing := sqliteStreams * perStream
		var stream, events int
		for rows.Next() {
			if err := rows.Scan(&stream, &events); err != nil {
				return err
			}
			missing -= min(events, perStream)
			r.Repeated += max(events-perStream, 0)
		}
		r.Lost += missing
		return rows.Err()
	})
}

// projectRaw upserts the events of a page in one transaction, page after page.
func (f *file) projectRaw(ctx context.Context) error {
	for position := int64(0); ; {
		var page []paid
		var last int64
		err := f.selectRaw(ctx, sqlitePage, func(p paid, at int64) { page, last = append(page, p), at }, position, sqliteBatch)
		if err != nil || len(page) == 0 {
			return err
		}
		tx, err := f.raw.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		for _, p := range page {
			if _, err := tx.ExecContext(ctx, sqliteUpsert, p.Stream, p.Cents); err != nil {
				_ = tx.Rollback() // the first error says more
				return err
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		position = last
	}
}
