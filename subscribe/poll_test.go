package subscribe_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/backends"
	"github.com/peatlog/peat/subscribe"
)

// Reading ahead gets along with a pool of one connection that the caller uses, too,
// and with a context for each poll.
func TestPollOnOneConnection(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t, func(c *pgxpool.Config) { c.MaxConns = 1 })
	const events = 5000
	batch := make([]es.EventData, events)
	for i := range batch {
		batch[i] = marked(strconv.Itoa(i))
	}
	mustAppend(t, log.Store, streamS, es.NoStream, batch...)
	before := log.Pool.Stat().NewConnsCount()
	sub := subscription(t, log, subscribe.Options{BatchEvents: 100})
	for version := int64(1); version <= events; {
		ctx, cancel := context.WithCancel(t.Context())
		got, err := sub.Poll(ctx)
		cancel()
		if err != nil || len(got) == 0 {
			t.Fatalf("%d events behind version %d, %v", len(got), version-1, err)
		}
		for _, e := range got {
			if e.Version != version {
				t.Fatalf("version %d comes in the place of %d", e.Version, version)
			}
			version++
		}
		mustEnd(t, sub.Checkpoint)
	}
	if lost := log.Pool.Stat().NewConnsCount() - before; lost > 0 {
		t.Errorf("%d connections were made anew", lost)
	}
}

// After a reset the log comes from its beginning, whatever was read ahead.
func TestResetDropsWhatWasReadAhead(t *testing.T) {
	t.Parallel()
	eachHorizon(t, func(t *testing.T, log *backends.Postgres, horizon es.Horizon) {
		for range 5 {
			mustAppend(t, log.Store, streamS, es.Any, marked("n"))
		}
		sub := subscription(t, log, subscribe.Options{Horizon: horizon, BatchEvents: 2})
		wantPlaces(t, collect(t, sub, 2), "s@1", "s@2")
		mustEnd(t, sub.Reset)
		wantPlaces(t, collect(t, sub, 5), "s@1", "s@2", "s@3", "s@4", "s@5")
	})
}
