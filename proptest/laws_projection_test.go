package proptest_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/proptest"
)

// balances is a projection: the total of each wallet.
type balances struct {
	totals map[string]int
	seen   map[string]int64
	wrong  string
}

func (b *balances) Handle(_ context.Context, e es.Envelope[event]) error {
	key := e.Stream.Key
	if b.wrong != "adds again" && b.seen[key] >= e.Version {
		return nil
	}
	b.seen[key] = e.Version
	if b.wrong == "one table for all" {
		key = "all"
		if _, ok := e.Event.(cleared); ok { // takes away what is there now, whoever added it
			b.totals[key] = 0
			return nil
		}
	}
	if b.wrong == "fails on tags" {
		if _, ok := e.Event.(tagged); ok {
			return errNegative
		}
	}
	switch x := e.Event.(type) {
	case added:
		b.totals[key] += x.N
	case cleared:
		delete(b.totals, key)
	}
	return nil
}

func (b *balances) table(context.Context) (map[string]int, error) { return maps.Clone(b.totals), nil }

func openBalances(wrong string) func(*rapid.T) proptest.ReadModel[event, map[string]int] {
	return func(*rapid.T) proptest.ReadModel[event, map[string]int] {
		b := &balances{totals: map[string]int{}, seen: map[string]int64{}, wrong: wrong}
		handle := proptest.HandleEach[event](b)
		if wrong == "looks at the last of a batch only" {
			handle = func(ctx context.Context, batch []es.Envelope[event]) error { return b.Handle(ctx, batch[len(batch)-1]) }
		}
		return proptest.ReadModel[event, map[string]int]{Handle: handle, Table: b.table}
	}
}

func TestProjectionLaws(t *testing.T) {
	t.Parallel()
	proptest.CheckProjection(t, cases.Sequences(), openBalances(""), proptest.ProjectionOptions{})
	proptest.CheckProjection(t, proptest.Reachable(wallets(nil), commands), openBalances(""), proptest.ProjectionOptions{Category: "wallet"})
	proptest.CheckProjection(t, cases.Sequences(), openBalances("adds again"), proptest.ProjectionOptions{ExactlyOnce: true})
}

func TestProjectionLawsFind(t *testing.T) {
	t.Parallel()
	for wrong, want := range map[string]string{
		"adds again":                        "when events are delivered again",
		"looks at the last of a batch only": "depends on the size of the batches",
		"one table for all":                 "depends on the order between streams",
		"fails on tags":                     "version",
	} {
		t.Run(wrong, func(t *testing.T) {
			t.Parallel()
			breaks(t, want, func(t rapid.TB) {
				once := strings.Contains(want, "batches") // or another law may be the first to find it
				proptest.CheckProjection(t, cases.Sequences(), openBalances(wrong), proptest.ProjectionOptions{ExactlyOnce: once})
			})
		})
	}
}

// modelOf is a wallet's model: its total.
func modelOf(wrong string) proptest.Model[*wallet, event, *int] {
	return proptest.Model[*wallet, event, *int]{
		New: func() *int { return new(int) },
		Next: func(t *rapid.T, _ *int) proptest.Move[*wallet, event, *int] {
			n := rapid.IntRange(-9, 9).Draw(t, "add")
			return proptest.Move[*wallet, event, *int]{
				Decide: func(w *wallet) ([]event, error) {
					if wrong == "adds twice above 100" && w.Total > 40 {
						n *= 2
					}
					if wrong == "refuses nothing" {
						return []event{added{n}}, nil
					}
					return w.add(n)
				},
				Expect: func(total *int) error {
					if *total+n < 0 {
						return errNegative
					}
					*total += n
					return nil
				},
			}
		},
		Agree: func(w *wallet, total *int) error {
			if w.Total != *total {
				return fmt.Errorf("total %d, want %d", w.Total, *total)
			}
			return nil
		},
	}
}

func TestModelLaw(t *testing.T) {
	t.Parallel()
	proptest.CheckModel(t, wallets(nil), modelOf(""))
}

func TestModelLawFinds(t *testing.T) {
	t.Parallel()
	breaks(t, "the aggregate answers <nil>, the model negative", func(t rapid.TB) {
		proptest.CheckModel(t, wallets(nil), modelOf("refuses nothing"))
	})
	breaks(t, "the state and the model differ", func(t rapid.TB) {
		m := modelOf("")
		proptest.CheckModel(t, wallets(&wrongs{apply: func(w *wallet, e event) bool {
			a, ok := e.(added)
			if ok && w.Total > 10 { // only from some state on
				w.Total += a.N + 1
			}
			return ok && w.Total > 10
		}}), m)
	})
}
