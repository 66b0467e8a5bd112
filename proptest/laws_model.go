package proptest

import (
	"errors"
	"strconv"

	"pgregory.net/rapid"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/es"
)

// Move is a command on an aggregate, and what the user's own model says of it.
type Move[A aggregate.Aggregate[E], E es.Event, M any] struct {
	Decide func(A) ([]E, error)
	// Expect does to the model what the command is to do, or returns the error that
	// the command is to be refused with, in the sense of errors.Is, and changes nothing.
	Expect func(model M) error
}

// Model is a simple model of an aggregate, written by its user, that it is compared with.
type Model[A aggregate.Aggregate[E], E es.Event, M any] struct {
	// New returns a model of an aggregate without events. M is something that Expect
	// can change, such as a pointer.
	New func() M
	// Next draws the next command; it may look at the model, to draw one that makes sense.
	Next func(t *rapid.T, model M) Move[A, E, M]
	// Agree says how the state and the model differ, nil if they agree.
	Agree func(state A, model M) error
}

// CheckModel has an aggregate and the model of it go through the same commands, and
// fails t with the fewest commands after which they differ. Each command goes through a
// repository, with lost answers and repetitions, and is held to the laws of
// [CheckDecisions].
func CheckModel[A aggregate.Aggregate[E], E es.Event, M any](t rapid.TB, def *aggregate.Definition[A, E], m Model[A, E, M]) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		d, model := newDecider(t, def), m.New()
		n := 0
		move := func(t *rapid.T) {
			n++
			next := m.Next(t, model)
			_, err := d.execute("move "+strconv.Itoa(n), next.Decide)
			if want := next.Expect(model); !errors.Is(err, want) {
				t.Fatalf("the aggregate answers %v, the model %v", err, want)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"move": move,
			"move, and the answer is lost": func(t *rapid.T) {
				d.store.lose, d.store.written = 1, rapid.Bool().Draw(t, "written")
				move(t)
			},
			"": func(t *rapid.T) {
				if err := m.Agree(d.load().State(), model); err != nil {
					t.Fatalf("the state and the model differ: %v", err)
				}
			},
		})
	})
}
