package main

import (
	"context"
	_ "embed"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

var (
	//go:embed sql/create_balances.sql
	createBalances string
	//go:embed sql/upsert_one.sql
	upsertOne string
	//go:embed sql/compare_balances.sql
	compareBalances string
	//go:embed sql/create_reference.sql
	createReference string
	//go:embed sql/reference_page.sql
	referencePage string
	//go:embed sql/reference_progress.sql
	referenceProgress string
)

// projection is a read model that is built from a log: a row per stream.
type projection struct {
	name            string
	streams, events int     // of the log; a fiftieth of the events with --quick
	batch           int     // events of a transaction
	segments        int     // 0 is 1
	least           float64 // 0 is no goal

	// ours handles events, with see called for each of them.
	ours func(b *bed, see func(paid)) subscribe.Delivery
	// reference writes a page and how far it has come, in one transaction.
	reference func(ctx context.Context, b *bed, conn *pgx.Conn, page []paid, position int64) error
}

// run builds the read model from the whole log, several times.
func (p projection) run(ctx context.Context, b *bed) ([]result, error) {
	if b.quick {
		p.events /= 50
	}
	if p.events%p.streams != 0 {
		return nil, fmt.Errorf("%d events do not divide into %d streams", p.events, p.streams)
	}
	if err := b.fill(ctx, p.streams, p.events/p.streams); err != nil {
		return nil, err
	}
	for _, create := range []string{createBalances, createReference} {
		if _, err := b.pool.Exec(ctx, b.inSchema(create)); err != nil {
			return nil, err
		}
	}
	r := result{Name: p.name, Unit: "events/s"}
	var ours, reference []float64
	var took []time.Duration
	err := b.takeTurns(ctx, func() error {
		speed, batches, err := p.measureOurs(ctx, b, fmt.Sprintf("%s %d", p.name, len(ours)), &r)
		ours, took = append(ours, speed), append(took, batches...)
		return err
	}, func() error {
		speed, err := p.measureReference(ctx, b)
		reference = append(reference, speed)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.Ours, r.Reference = median(ours), median(reference)
	var g goal
	if p.least > 0 {
		g.least = &p.least
	}
	return []result{r.timed(took).judge(g)}, nil
}

// measureOurs takes the time from the start of a runner to its last commit.
func (p projection) measureOurs(ctx context.Context, b *bed, name string, r *result) (speed float64, took []time.Duration, err error) {
	if err := b.emptyBalances(ctx); err != nil {
		return 0, nil, err
	}
	t, d := newTally(p.streams, p.events/p.streams), newDelivered(p.events)
	var mu sync.Mutex
	consumer := subscribe.Consumer{
		Name: name, Filter: es.Filter{Categories: []string{"bench"}}, BatchEvents: p.batch,
		Segments: p.segments,
		Delivery: p.ours(b, func(e paid) {
			mu.Lock() // the segments share the tally
			defer mu.Unlock()
			t.add(e.Stream, e.Seq)
		}),
	}
	began := time.Now()
	run, err := start(ctx, b.store, subscribe.RunnerOptions{Tracers: d.tracers()}, consumer)
	if err != nil {
		return 0, nil, err
	}
	_, err = await(ctx, run, d.all)
	elapsed := time.Since(began)
	if ended := run.end(); err == nil {
		err = ended
	}
	if err != nil {
		return 0, nil, err
	}
	// The table says what took effect, how often; the handler in what order. What it is
	// handed again after a transaction was undone, the table does not hold.
	r.Reordered += t.reordered
	return float64(p.events) / elapsed.Seconds(), d.took, b.compareBalances(ctx, r)
}

// measureReference takes the time of the same work without peat, on one connection.
func (p projection) measureReference(ctx context.Context, b *bed) (float64, error) {
	if err := b.emptyBalances(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	conn, err := b.pool.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	for position := int64(0); ; {
		page, last, err := b.page(ctx, conn.Conn(), position, p.batch)
		if err != nil {
			return 0, err
		}
		if len(page) == 0 {
			break
		}
		if err := p.reference(ctx, b, conn.Conn(), page, last); err != nil {
			return 0, err
		}
		position = last
	}
	speed := float64(p.events) / time.Since(began).Seconds()
	var wrong result
	if err := b.compareBalances(ctx, &wrong); err != nil {
		return 0, fmt.Errorf("reference: %w", err)
	}
	if wrong.Lost+wrong.Repeated > 0 {
		return 0, fmt.Errorf("the reference has %d events too few and %d too many", wrong.Lost, wrong.Repeated)
	}
	return speed, nil
}

// page reads and decodes the events behind a position.
func (b *bed) page(ctx context.Context, conn *pgx.Conn, behind int64, limit int) (page []paid, last int64, err error) {
	rows, err := conn.Query(ctx, b.inSchema(referencePage), behind, limit)
	if err != nil {
		return nil, 0, err
	}
	var eventType string
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&eventType, &data, &last}, func() error {
		e, err := union.Decode(eventType, data, false)
		if err != nil {
			return err
		}
		page = append(page, e.(paid))
		return nil
	})
	return page, last, err
}

func (b *bed) emptyBalances(ctx context.Context) error {
	_, err := b.pool.Exec(ctx, b.inSchema("TRUNCATE {schema}.balances"))
	return err
}

// compareBalances adds to r what the balances lack and have twice.
func (b *bed) compareBalances(ctx context.Context, r *result) error {
	var lost, repeated, wrong int
	if err := b.pool.QueryRow(ctx, b.inSchema(compareBalances)).Scan(&lost, &repeated, &wrong); err != nil {
		return fmt.Errorf("compare with the log: %w", err)
	}
	if wrong > 0 {
		return fmt.Errorf("%d balances are wrong, although all events are there", wrong)
	}
	r.Lost, r.Repeated = r.Lost+lost, r.Repeated+repeated
	return nil
}
