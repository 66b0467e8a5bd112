package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
)

// idIndex is what the unique index on event ids costs: goroutines that append so many events
// at a time, against the same on a log of which the index was dropped.
type idIndex struct {
	name             string
	goroutines, each int
	random           bool // the ids, as those of commands are; otherwise they grow with time
}

func (x idIndex) run(ctx context.Context, b *bed) ([]result, error) {
	without, err := newBed(ctx, b.dsn, b.quick)
	if err != nil {
		return nil, err
	}
	defer without.close(context.WithoutCancel(ctx)) //nolint:errcheck // what went wrong before says more
	if _, err := without.pool.Exec(ctx, "DROP INDEX "+without.schema+".events_event_id_key"); err != nil {
		return nil, err
	}
	var ours, reference speed
	versions := map[*postgres.Store][]int64{b.store: make([]int64, x.goroutines), without.store: make([]int64, x.goroutines)}
	side := func(s *speed, store *postgres.Store) func() error {
		return func() error {
			return s.callFor(ctx, b, x.goroutines, func(ctx context.Context, n int) error {
				v := &versions[store][n]
				events := make([]es.EventData, x.each)
				for i := range events {
					e := payment(n, *v+int64(i)+1)
					data, err := json.Marshal(e)
					if err != nil {
						return err
					}
					if events[i] = (es.EventData{Type: e.EventType(), Data: data}); x.random {
						events[i].ID = uuid.New()
					}
				}
				done, err := store.Append(ctx, es.StreamID{Category: "bench", Key: strconv.Itoa(n)}, es.Exact(*v), events...)
				*v = done.Version
				return err
			})
		}
	}
	if err := b.takeTurns(ctx, side(&ours, b.store), side(&reference, without.store)); err != nil {
		return nil, err
	}
	r := result{
		Name: x.name, Unit: "events/s",
		Ours: float64(x.each) * median(ours.perSecond), Reference: float64(x.each) * median(reference.perSecond),
	}.timed(ours.times)
	return []result{r.judge(goal{})}, b.wantEvents(ctx, versions[b.store])
}

// wantEvents fails unless the log has the events of these versions.
func (b *bed) wantEvents(ctx context.Context, versions []int64) error {
	var want, got int64
	for _, v := range versions {
		want += v
	}
	if err := b.pool.QueryRow(ctx, "SELECT count(DISTINCT event_id) FROM "+b.schema+".events").Scan(&got); err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("the log has %d event ids, want %d", got, want)
	}
	return nil
}
