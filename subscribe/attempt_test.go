package subscribe_test

import (
	"context"
	"errors"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

// An event behind one that was just set aside has as many attempts as any other.
func TestEveryParkedEventHadItsAttempts(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		write(t, log, "a", 1)
		write(t, log, "b", 2)
		result := write(t, log, "c", 3)
		calls := map[string]int{}
		c := consumer("failing", subscribe.AtLeastOnce(subscribe.EachRecorded(func(_ context.Context, e es.Recorded) error {
			calls[e.Stream.Key]++
			if e.Stream.Key == "c" {
				return nil
			}
			return errors.New("failed")
		})))
		c.OnFailure = subscribe.Park
		r := newRunner(t, store, c)
		stop := start(t, r)
		if err := r.WaitFor(t.Context(), "failing", result); err != nil {
			t.Fatal(err)
		}
		stop()
		if diff := gocmp.Diff(map[string]int{"a": 2, "b": 2, "c": 1}, calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}
