package subscribe_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

// The new generation never finds nothing: each event that it handles is followed by
// one more, until it has taken over.
func TestRebuildTakesOverUnderALoadThatNeverPauses(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		t.Helper()
		var tookOver atomic.Bool
		done := make(chan struct{})
		c := consumer("busy", subscribe.AtLeastOnce(
			subscribe.Each(notes, subscribe.Func[note](func(ctx context.Context, e es.Envelope[note]) error {
				if subscribe.Generation(ctx) == 2 && !tookOver.Load() {
					_, err := log.Append(ctx, e.Stream, es.Any, noteOf(number(e)+1))
					return err
				}
				return nil
			})),
			subscribe.OnRebuild(nil, func(context.Context, subscribe.None, int, int) error {
				if tookOver.CompareAndSwap(false, true) {
					close(done)
				}
				return nil
			})))
		write(t, log, "a", 1)
		r := newRunner(t, store, c)
		start(t, r)
		if _, err := r.Rebuild(t.Context(), "busy", subscribe.RebuildOptions{}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Error("the new generation does not take over")
		}
	})
}
