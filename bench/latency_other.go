package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// latencyOther appends in this process and handles in another one, which does nothing
// else. There is no reference.
func latencyOther(ctx context.Context, b *bed) (_ []result, err error) {
	appends := 2000
	if b.quick {
		appends = 100
	}
	child, err := b.spawn(ctx, orders{})
	if err != nil {
		return nil, err
	}
	t := newTally(lanes, appends/lanes)
	r := result{Name: "latency-other", Unit: "ms"}
	d, err := b.throughChild(ctx, child, appends, t)
	if rest := child.end(); len(rest) > 0 && err == nil {
		err = fmt.Errorf("%d events came that nobody had appended, or twice", len(rest))
	}
	if err != nil {
		return nil, err
	}
	t.addTo(&r)
	whole := result{Name: "latency-other-call", Unit: "ms"}
	whole.Ours, r.Ours = d.medians()
	return []result{
		r.timed(d.fromReturn).judge(goal{most: new(2.0)}),
		whole.timed(d.fromCall).judge(goal{}),
	}, nil
}

// throughChild waits for each event before it appends the next.
func (b *bed) throughChild(ctx context.Context, child *process, appends int, t *tally) (d delay, err error) {
	if err := b.awaitSessions(ctx, 1); err != nil {
		return d, err
	}
	load := &traffic{bed: b, category: "bench"}
	for range appends {
		time.Sleep(pace)
		e, before, after, err := load.append(ctx)
		if err != nil {
			return d, err
		}
		got, err := child.next(ctx)
		if err != nil {
			return d, err
		}
		if t.add(got.Stream, got.Version); got.Stream != e.Stream || got.Version != e.Seq {
			return d, errors.New("an event came that is not the one that was appended")
		}
		d.add(before, after, time.Unix(0, got.Now))
	}
	return d, nil
}
