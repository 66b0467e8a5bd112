package main

import (
	"context"
	"time"
)

// latencySame appends events and handles them in one process that does nothing else.
// The reference selects the event that was appended, which the handler of a program
// that polled at the right moment would have to do, too.
func latencySame(ctx context.Context, b *bed) ([]result, error) {
	appends := 500
	if b.quick {
		appends = 50
	}
	r := result{Name: "latency-same", Unit: "ms"}
	t := newTally(lanes, appends*b.rounds()/lanes)
	ourTraffic, rawTraffic := &traffic{bed: b, category: "bench"}, &traffic{bed: b, category: "raw"}
	var ours, reference delay
	var calls, returns, rawCalls, rawReturns []float64 // the medians of the rounds
	err := b.takeTurns(ctx, func() error {
		run, arrived, err := b.caughtUpRunner(ctx, ourTraffic.category, t)
		if err != nil {
			return err
		}
		d, err := ourTraffic.measure(ctx, run, arrived, func(n int) bool { return n < appends })
		ours.join(d)
		fromCall, fromReturn := d.medians()
		calls, returns = append(calls, fromCall), append(returns, fromReturn)
		if ended := run.end(); err == nil {
			err = ended
		}
		return err
	}, func() error {
		d, err := b.selectAppended(ctx, rawTraffic, appends)
		reference.join(d)
		fromCall, fromReturn := d.medians()
		rawCalls, rawReturns = append(rawCalls, fromCall), append(rawReturns, fromReturn)
		return err
	})
	if err != nil {
		return nil, err
	}
	t.addTo(&r)
	whole := result{Name: "latency-same-call", Unit: "ms", Ours: median(calls), Reference: median(rawCalls)}
	r.Ours, r.Reference = median(returns), median(rawReturns)
	return []result{
		r.timed(ours.fromReturn).judge(goal{most: new(0.5), p99: new(2.0)}),
		whole.timed(ours.fromCall).judge(goal{}),
	}, nil
}

// selectAppended reads each event right after its append.
func (b *bed) selectAppended(ctx context.Context, t *traffic, appends int) (d delay, err error) {
	conn, err := b.pool.Acquire(ctx)
	if err != nil {
		return d, err
	}
	defer conn.Release()
	var position int64
	if err := conn.QueryRow(ctx, b.inSchema("SELECT coalesce(max(global_position), 0) FROM {schema}.events")).Scan(&position); err != nil {
		return d, err
	}
	for range appends {
		time.Sleep(pace)
		_, before, after, err := t.append(ctx)
		if err != nil {
			return d, err
		}
		if _, position, err = b.page(ctx, conn.Conn(), position, 1); err != nil {
			return d, err
		}
		d.add(before, after, time.Now())
	}
	return d, nil
}
