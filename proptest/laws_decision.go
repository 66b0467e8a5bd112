package proptest

import (
	"context"
	"fmt"

	"pgregory.net/rapid"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/es"
)

// Command is a decision with a name, for [CheckDecisions] to draw and to print.
type Command[A aggregate.Aggregate[E], E es.Event] struct {
	Name   string
	Decide func(A) ([]E, error)
}

// GoString prints the name, which is what a failing test shows.
func (c Command[A, E]) GoString() string { return c.Name }

// CheckDecisions holds the decisions of an aggregate to their laws, on every state that
// the commands themselves bring about, and fails t with a small example where one is
// broken:
//
//   - A decision changes no state; only events do.
//   - It gives the same answer when it is asked again, as Execute does after a conflict.
//   - It refuses, or answers events, and not both.
//   - Execute leaves nothing pending, and returns the state that is stored; what is
//     refused writes nothing.
//   - A command lands once for its id, also when it is repeated, when its answer is lost,
//     and when another command overtakes it.
func CheckDecisions[A aggregate.Aggregate[E], E es.Event](t rapid.TB, def *aggregate.Definition[A, E], commands *rapid.Generator[Command[A, E]]) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		d := newDecider(t, def)
		for n := range rapid.IntRange(1, 12).Draw(t, "commands") {
			c := commands.Draw(t, "command")
			switch rapid.SampledFrom([]string{"", "", "", "answer lost", "lost before", "overtaken"}).Draw(t, "and then") {
			case "answer lost":
				d.store.lose, d.store.written = 1, true
			case "lost before":
				d.store.lose, d.store.written = 1, false
			case "overtaken":
				other := commands.Draw(t, "by")
				d.store.overtake = func() { // whether it is refused or not
					_, _ = aggregate.NewRepository(d.store, def).Execute(t.Context(), "law", other.Decide)
				}
			}
			_, _ = d.execute(fmt.Sprintf("command %d", n), c.Decide)
		}
	})
}

// decider executes commands on one aggregate in memory and checks what comes of them.
type decider[A aggregate.Aggregate[E], E es.Event] struct {
	t     *rapid.T
	def   *aggregate.Definition[A, E]
	store *unsure
	repo  *aggregate.Repository[A, E]
}

func newDecider[A aggregate.Aggregate[E], E es.Event](t *rapid.T, def *aggregate.Definition[A, E]) *decider[A, E] {
	store := &unsure{Log: NewLog(LogOptions{})}
	repo := aggregate.NewRepository(store, def).WithRetry(aggregate.Retry{BaseDelay: 1})
	return &decider[A, E]{t: t, def: def, store: store, repo: repo}
}

// load returns the aggregate as it is stored.
func (d *decider[A, E]) load() *aggregate.Root[A, E] {
	root, err := d.repo.LoadOrNew(d.t.Context(), "law")
	if err != nil {
		d.t.Fatalf("load: %v", err)
	}
	return root
}

// ask lets the decision answer on what is stored, and checks how it behaves.
func (d *decider[A, E]) ask(decide func(A) ([]E, error)) ([]E, error) {
	now := d.load().State()
	state, same := clone(d.t, d.def, now), clone(d.t, d.def, now)
	events, err := decide(state)
	if x := diff(now, state); x != "" {
		d.t.Fatalf("the decision changes the state; only events may (-before +after):\n%s", x)
	}
	if err != nil && len(events) > 0 {
		d.t.Fatalf("the decision refuses (%v) and answers %d events all the same; they would be lost", err, len(events))
	}
	again, againErr := decide(same)
	if x := diff(events, again); x != "" || fmt.Sprint(err) != fmt.Sprint(againErr) {
		d.t.Fatalf("asked again on the same state, the decision answers otherwise: error %v, then %v (-first +again):\n%s", err, againErr, x)
	}
	return events, err
}

// execute executes a decision under an id, twice, and checks what comes of it. It
// returns what the decision answered.
func (d *decider[A, E]) execute(id string, decide func(A) ([]E, error)) ([]E, error) {
	var events []E
	var refusal error
	base := int64(0)
	ctx := es.WithCommandID(d.t.Context(), id)
	root, err := d.repo.Execute(ctx, "law", func(A) ([]E, error) {
		base = d.load().Version()
		events, refusal = d.ask(decide) // on what is stored now
		return events, refusal
	})
	if refusal != nil {
		if err == nil || err.Error() != refusal.Error() {
			d.t.Fatalf("refused with %v, and Execute returns %v", refusal, err)
		}
		if now := d.load().Version(); now != base {
			d.t.Fatalf("refused with %v, and %d events are written", refusal, now-base)
		}
		return nil, refusal
	}
	if err != nil {
		d.t.Fatalf("the decision answers %d events, and Execute returns %v", len(events), err)
	}
	d.landed(root, base+int64(len(events)))
	if len(events) > 0 {
		d.repeat(es.WithCommandID(d.t.Context(), id), decide, root.Version())
	}
	return events, nil
}

// landed wants a root of this version, with nothing pending and the stored state.
func (d *decider[A, E]) landed(root *aggregate.Root[A, E], version int64) {
	stored := d.load()
	if root.Version() != version || stored.Version() != version || len(root.Pending()) > 0 {
		d.t.Fatalf("after Execute version %d with %d pending events, stored is version %d; want version %d and none pending",
			root.Version(), len(root.Pending()), stored.Version(), version)
	}
	if x := diff(stored.State(), root.State()); x != "" {
		d.t.Fatalf("Execute returns another state than is stored (-stored +returned):\n%s", x)
	}
}

// repeat executes the command again under its id.
func (d *decider[A, E]) repeat(ctx context.Context, decide func(A) ([]E, error), version int64) {
	root, err := d.repo.Execute(ctx, "law", decide)
	if err != nil {
		d.t.Fatalf("the command repeated under its id: %v", err)
	}
	if !root.LastAppend().Duplicate {
		d.t.Fatalf("the command lands again under its id, at version %d", root.Version())
	}
	d.landed(root, version)
}

// clone returns a copy of a state, as Execute gives it to decisions.
func clone[A aggregate.Aggregate[E], E es.Event](t *rapid.T, def *aggregate.Definition[A, E], state A) A {
	c, err := def.Clone(state)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Reachable draws histories that the commands of an aggregate bring about, for
// [CheckProjection].
func Reachable[A aggregate.Aggregate[E], E es.Event](def *aggregate.Definition[A, E], commands *rapid.Generator[Command[A, E]]) *rapid.Generator[[]E] {
	return rapid.Custom(func(t *rapid.T) (all []E) {
		root, err := def.New("law")
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 10).Draw(t, "commands") {
			events, err := commands.Draw(t, "command").Decide(clone(t, def, root.State()))
			if err != nil {
				continue
			}
			if root.Record(events...); root.Err() != nil {
				t.Fatal(root.Err())
			}
			all = append(all, events...)
		}
		return all
	})
}
