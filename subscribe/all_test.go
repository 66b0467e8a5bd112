package subscribe_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

// All ends while writers never stop, and yields all that there was when it began, the
// events of a stream in order. One writer appends as much as is yielded, so that the
// loop cannot overtake it, and others as much as they can.
func TestAllEndsUnderConstantLoad(t *testing.T) {
	t.Parallel()
	for _, horizon := range horizons {
		t.Run(horizon.String(), func(t *testing.T) {
			t.Parallel()
			inEachStore(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
				const streams, each = 3, 20
				for n := range streams * each {
					write(t, log, strconv.Itoa(n%streams), n)
				}
				// What is in flight elsewhere on the server delays what is settled.
				eventually(t, "delivered", func() bool {
					n := 0
					for _, err := range subscribe.All(t.Context(), store, notes, subscribe.Options{Horizon: horizon}) {
						if err != nil {
							t.Fatal(err)
						}
						n++
					}
					return n == streams*each
				})

				loaded, stop := context.WithCancel(t.Context())
				var writers sync.WaitGroup
				defer writers.Wait()
				defer stop()
				for w := range 2 {
					writers.Go(func() {
						for loaded.Err() == nil {
							if _, err := log.Append(loaded, noteStream("load "+strconv.Itoa(w)), es.Any, noteOf(-1)); err != nil && loaded.Err() == nil {
								t.Error(err)
							}
						}
					})
				}
				// The end can be in the middle of a batch and behind many of them.
				for _, limit := range []int{500, 5} {
					last := allUnderLoad(t, store, log, subscribe.Options{Horizon: horizon, BatchEvents: limit})
					for key := range streams {
						if n := last[noteStream(strconv.Itoa(key))]; n != each {
							t.Errorf("stream %d: %d of the %d events that there were", key, n, each)
						}
					}
				}
			})
		})
	}
}

// allUnderLoad appends an event for each one that All yields, and returns the last
// version that was yielded of each stream.
func allUnderLoad(t *testing.T, store subscribe.RunnerStore, log es.Store, opts subscribe.Options) map[es.StreamID]int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	last := map[es.StreamID]int64{}
	for e, err := range subscribe.All(ctx, store, notes, opts) {
		if err != nil {
			t.Fatalf("it does not end, after %v: %v", last, err)
		}
		if last[e.Stream]++; e.Version != last[e.Stream] {
			t.Fatalf("%s: version %d comes as number %d", e.Stream, e.Version, last[e.Stream])
		}
		write(t, log, "as many", -1)
	}
	return last
}
