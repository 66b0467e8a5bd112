package subscribe_test

import (
	"context"
	"strings"
	"testing"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

// holders returns how many segments each process works on.
func holders(t *testing.T, r *subscribe.Runner) map[string]int {
	t.Helper()
	status, err := r.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	held := map[string]int{}
	for _, reader := range status[0].Readers {
		if reader.Held {
			held[reader.Holder]++
		}
	}
	return held
}

// A process that comes later gets its share, and what it had goes to the others when
// it leaves.
func TestSegmentsAreSpreadOverProcesses(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		runner := func(holder string) *subscribe.Runner {
			c := consumer("spread", subscribe.AtLeastOnce(subscribe.EachRecorded(func(context.Context, es.Recorded) error { return nil })))
			c.Segments = 5
			opts := quick(t)
			opts.Holder = holder
			r, err := subscribe.NewRunner(store, opts, c)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		one := runner("one")
		start(t, one)
		eventually(t, "all with the first", func() bool { return holders(t, one)["one"] == 5 })
		stop := start(t, runner("two"))
		eventually(t, "spread over two", func() bool { h := holders(t, one); return h["one"] == 3 && h["two"] == 2 })
		start(t, runner("three"))
		eventually(t, "spread over three", func() bool {
			h := holders(t, one)
			return len(h) == 3 && h["one"]+h["two"]+h["three"] == 5 && max(h["one"], h["two"], h["three"]) == 2
		})
		stop()
		eventually(t, "spread over those that are left", func() bool {
			h := holders(t, one)
			return h["two"] == 0 && h["one"]+h["three"] == 5
		})
		if err := one.WaitFor(t.Context(), "spread", write(t, log, strings.Repeat("x", 3), 1)); err != nil {
			t.Error(err)
		}
	})
}
