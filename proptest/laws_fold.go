package proptest

import (
	"bytes"
	"fmt"
	"log/slog"

	"pgregory.net/rapid"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/es"
)

// CheckFold holds the fold of an aggregate to its laws and fails t with a small example
// where one is broken, on any events in any order:
//
//   - Apply never panics.
//   - It is deterministic, and depends on nothing but the events as they are stored.
//   - A state of some of the events, kept, and given the rest later, is the state of all.
//   - Neither the events nor other aggregates are changed by it.
func CheckFold[A aggregate.Aggregate[E], E es.Event](t rapid.TB, def *aggregate.Definition[A, E], cases Events[E]) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		events := cases.Sequences().Draw(t, "events")
		stored := storedForms(t, def, events)
		if d := diff(events, stored); d != "" {
			t.Fatalf("the events do not come back from a store as they were; see CheckCodec (-recorded +read):\n%s", d)
		}
		whole := fold(t, def, events)
		if d := diff(stored, events); d != "" {
			t.Fatalf("the fold changes the events that it is given (-before +after):\n%s", d)
		}
		if d := diff(whole, fold(t, def, events)); d != "" {
			t.Fatalf("the fold is not deterministic (-once +again):\n%s", d)
		}
		if d := diff(whole, fold(t, def, stored)); d != "" {
			t.Fatalf("the state depends on something that is not stored (-recorded +read):\n%s", d)
		}
		cut := rapid.IntRange(0, len(events)).Draw(t, "cut")
		part := fold(t, def, events[:cut])
		fold(t, def, events)
		for i, e := range events[cut:] {
			apply(t, part, cut+i, e)
		}
		if d := diff(whole, part); d != "" {
			t.Fatalf("%d events and then the other %d make another state than all at once (-all +parts):\n%s", cut, len(events)-cut, d)
		}
	})
}

// storedForms returns the events as they come back from a store.
func storedForms[A aggregate.Aggregate[E], E es.Event](t *rapid.T, def *aggregate.Definition[A, E], events []E) []E {
	out := make([]E, len(events))
	for i, e := range events {
		name, data, binary, err := def.Events().Encode(e)
		if err == nil {
			out[i], err = def.Events().Decode(name, data, binary)
		}
		if err != nil {
			t.Fatalf("event %d cannot be stored and read: %v", i, err)
		}
	}
	return out
}

// fold returns the state after the events.
func fold[A aggregate.Aggregate[E], E es.Event](t *rapid.T, def *aggregate.Definition[A, E], events []E) A {
	root, err := def.New("law")
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		apply(t, root.State(), i, e)
	}
	return root.State()
}

func apply[A aggregate.Aggregate[E], E es.Event](t *rapid.T, state A, i int, e E) {
	if p := guard(func() { state.Apply(e) }); p != nil {
		t.Fatalf("Apply panics on event %d, %T: %v", i, e, p)
	}
}

// CheckSnapshots holds the snapshots of an aggregate to their law: a snapshot and the
// events behind it make the same state as all events, wherever it was taken. It runs a
// repository with snapshots every so many events, and fails t with a small example if a
// state differs, or cannot be stored or read.
func CheckSnapshots[A aggregate.Aggregate[E], E es.Event](t rapid.TB, def *aggregate.Definition[A, E], cases Events[E]) {
	t.Helper()
	if p := guard(func() { def.WithSnapshots(aggregate.Snapshots{Every: 1}) }); p != nil {
		t.Fatalf("%v", p)
	}
	rapid.Check(t, func(t *rapid.T) {
		every := rapid.IntRange(1, 5).Draw(t, "events from one snapshot to the next")
		var warnings bytes.Buffer
		store := NewLog(LogOptions{})
		repo := aggregate.NewRepository(store, def.WithSnapshots(aggregate.Snapshots{Every: every})).
			WithLogger(slog.New(slog.NewTextHandler(&warnings, nil)))
		var all []E
		for _, batch := range rapid.SliceOfN(rapid.SliceOfN(cases.Any(), 1, 4), 1, 5).Draw(t, "saves") {
			all = append(all, batch...)
			root, err := repo.LoadOrNew(t.Context(), "law")
			if err == nil {
				root.Record(batch...)
				err = repo.Save(t.Context(), root)
			}
			if err != nil {
				t.Fatal(err)
			}
			loaded, err := repo.Load(t.Context(), "law")
			if err != nil {
				t.Fatal(err)
			}
			if warnings.Len() > 0 {
				t.Fatalf("the state cannot be kept as a snapshot: %s", warnings.String())
			}
			if d := diff(fold(t, def, storedForms(t, def, all)), loaded.State()); d != "" {
				t.Fatalf("%s make another state than all %d events (-all +snapshot):\n%s", describe(t, store, loaded.Stream()), len(all), d)
			}
		}
	})
}

func describe(t *rapid.T, store es.Snapshotter, stream es.StreamID) string {
	s, _, err := store.ReadSnapshot(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("a snapshot at version %d and the events behind it", s.Version)
}
