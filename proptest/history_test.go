package proptest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/proptest"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// drawn is a correct history, and what a test needs to plant a fault in it.
type drawn struct {
	proptest.History
	landed, refused, takenBack []proptest.Event
	unlanded                   proptest.Event // its writer does not know
}

// drawHistory draws a correct history: a log of at least six events on at most three
// streams, of which stream 0 has at least four, and one follower of each guarantee. Each
// event is the effect of the one before.
func drawHistory(t *rapid.T) *drawn {
	d := &drawn{}
	versions := map[es.StreamID]int64{}
	ids := byte(0)
	event := func(key string, landed bool) proptest.Event {
		stream := es.StreamID{Category: "h", Key: key}
		ids++
		e := proptest.Event{ID: uuid.UUID{15: ids}, Stream: stream, Version: versions[stream] + 1}
		if landed {
			versions[stream]++
			d.landed = append(d.landed, e)
			e.Position = int64(10 * len(d.landed))
			d.landed[len(d.landed)-1] = e
		}
		return e
	}
	write := func(o proptest.Outcome, events ...proptest.Event) {
		at := epoch.Add(time.Duration(len(d.Writes)) * time.Second)
		w := proptest.Write{Events: events, Outcome: o, Began: at, Ended: at.Add(time.Millisecond)}
		if n := len(d.landed) - len(events); o == proptest.Landed && n > 0 {
			w.Causes = []uuid.UUID{d.landed[n-1].ID}
		}
		d.Writes = append(d.Writes, w)
	}
	keys := rapid.SliceOfN(rapid.SampledFrom([]string{"0", "1", "2"}), 2, 12).Draw(t, "streams")
	for i, key := range append([]string{"0", "1", "0", "0"}, keys...) {
		switch {
		case i < 4:
			write(proptest.Landed, event(key, true))
		case rapid.Bool().Draw(t, "pair"):
			write(proptest.Landed, event(key, true), event(key, true))
		default:
			write(rapid.SampledFrom([]proptest.Outcome{proptest.Landed, proptest.Unknown}).Draw(t, "outcome"), event(key, true))
		}
	}
	failed, gone := event("1", false), event("2", false)
	d.refused, d.takenBack = []proptest.Event{failed}, []proptest.Event{gone}
	write(proptest.Failed, failed)
	write(proptest.TakenBack, gone)
	d.unlanded = event("1", false)
	write(proptest.Unknown, d.unlanded)
	write(proptest.Unknown, d.landed[0]) // repeated after a lost answer
	if rapid.Bool().Draw(t, "log is read") {
		d.Log = slices.Clone(d.landed)
	}
	d.Followers = []proptest.Follower{
		{Name: "once", Guarantee: proptest.ExactlyOnce, RealTime: true, Steps: deliver(d.landed...)},
		{Name: "per run", Guarantee: proptest.OncePerRun, Steps: d.runs(t, true)},
		{Name: "at least", Guarantee: proptest.AtLeastOnce, Steps: d.runs(t, false)},
		{Name: "zeros", Selects: func(e proptest.Event) bool { return e.Stream.Key == "0" }, Steps: deliver(slices.DeleteFunc(
			slices.Clone(d.landed), func(e proptest.Event) bool { return e.Stream.Key != "0" })...)},
		{Name: "early", Partial: true, Steps: deliver(d.landed[:4]...)},
	}
	return d
}

func deliver(events ...proptest.Event) (steps []proptest.Step) {
	for _, e := range events {
		steps = append(steps, proptest.Step{Kind: proptest.Delivered, Event: e})
	}
	return steps
}

// runs delivers the log in several runs, each of which begins at what is stored. Before
// the first restart an event comes that is taken back.
func (d *drawn) runs(t *rapid.T, marked bool) (steps []proptest.Step) {
	steps = append(deliver(d.landed[:3]...), proptest.Step{Kind: proptest.Checkpointed})
	steps = append(steps, deliver(d.landed[3])...)
	steps = append(steps, deliver(d.takenBack...)...)
	for range rapid.IntRange(1, 3).Draw(t, "runs") {
		if marked {
			steps = append(steps, proptest.Step{Kind: proptest.Restarted})
		}
		steps = append(steps, deliver(d.landed[3:rapid.IntRange(4, len(d.landed)).Draw(t, "until")]...)...)
	}
	if marked {
		steps = append(steps, proptest.Step{Kind: proptest.Reset})
		return append(steps, deliver(d.landed...)...)
	}
	return append(steps, deliver(d.landed[3:]...)...)
}

// follower returns one of the followers.
func (d *drawn) follower(name string) *proptest.Follower {
	return &d.Followers[slices.IndexFunc(d.Followers, func(f proptest.Follower) bool { return f.Name == name })]
}

// drop takes the first delivery of an event away, insert gives one.
func drop(f *proptest.Follower, e proptest.Event) {
	i := slices.IndexFunc(f.Steps, func(s proptest.Step) bool { return s.Event == e })
	f.Steps = slices.Delete(f.Steps, i, i+1)
}

func insert(f *proptest.Follower, i int, e proptest.Event) {
	f.Steps = slices.Insert(f.Steps, i, deliver(e)...)
}

func TestCorrectHistoryPasses(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		if v := proptest.Check(drawHistory(t).History); len(v) > 0 {
			t.Fatal(v)
		}
	})
}

// Every fault that is planted in a correct history is found, named, and shows its event.
func TestPlantedViolationIsFound(t *testing.T) {
	t.Parallel()
	type place func(t *rapid.T, d *drawn) (who string, e proptest.Event)
	whole := []string{"once", "per run", "at least"}
	anyOf := func(t *rapid.T, names ...string) string { return rapid.SampledFrom(names).Draw(t, "follower") }
	landed := func(t *rapid.T, d *drawn) proptest.Event { return rapid.SampledFrom(d.landed).Draw(t, "event") }
	for name, c := range map[string]struct {
		fault proptest.Fault
		plant place
	}{
		"never delivered": {proptest.Lost, func(t *rapid.T, d *drawn) (string, proptest.Event) {
			who, e := anyOf(t, whole...), landed(t, d)
			f := d.follower(who)
			f.Steps = slices.DeleteFunc(f.Steps, func(s proptest.Step) bool { return s.Event == e })
			return who, e
		}},
		"passed by, and the follower went no further": {proptest.Lost, func(_ *rapid.T, d *drawn) (string, proptest.Event) {
			drop(d.follower("early"), d.landed[2]) // before 0@3
			return "early", d.landed[2]
		}},
		"half of a write with a lost answer": {proptest.Lost, func(t *rapid.T, d *drawn) (string, proptest.Event) {
			who := anyOf(t, "once", "per run")
			e := proptest.Event{ID: uuid.UUID{0: 1}, Stream: es.StreamID{Category: "h", Key: "half"}, Version: 1}
			other := proptest.Event{ID: uuid.UUID{0: 2}, Stream: e.Stream, Version: 2}
			d.Log = nil
			d.Writes = append(d.Writes, proptest.Write{Events: []proptest.Event{e, other}, Outcome: proptest.Unknown})
			for _, all := range whole {
				f := d.follower(all)
				f.Steps = append(f.Steps, deliver(e, other)...)
			}
			f := d.follower(who)
			f.Steps = f.Steps[:len(f.Steps)-1]
			return who, other
		}},
		"half of a write with a lost answer is in the log": {proptest.Lost, func(_ *rapid.T, d *drawn) (string, proptest.Event) {
			e := proptest.Event{ID: uuid.UUID{0: 1}, Stream: es.StreamID{Category: "h", Key: "half"}, Version: 2}
			d.Writes = append(d.Writes, proptest.Write{Events: []proptest.Event{d.landed[5], e}, Outcome: proptest.Unknown})
			d.Log = slices.Clone(d.landed)
			return "", e
		}},
		"acknowledged and not in the log": {proptest.Lost, func(_ *rapid.T, d *drawn) (string, proptest.Event) {
			e := proptest.Event{ID: uuid.UUID{0: 1}, Stream: es.StreamID{Category: "h", Key: "gone"}, Version: 1}
			d.Log = slices.Clone(d.landed)
			d.Writes = append(d.Writes, proptest.Write{Events: []proptest.Event{e}})
			return "", e
		}},
		"acknowledged only when it was repeated": {proptest.Lost, func(t *rapid.T, d *drawn) (string, proptest.Event) {
			e := proptest.Event{ID: uuid.UUID{0: 1}, Stream: es.StreamID{Category: "h", Key: "again"}, Version: 1}
			outcomes := rapid.Permutation([]proptest.Outcome{proptest.Unknown, proptest.Landed, proptest.Failed}).Draw(t, "outcomes")
			for _, o := range outcomes {
				d.Writes = append(d.Writes, proptest.Write{Events: []proptest.Event{e}, Outcome: o})
			}
			d.Log = nil
			return anyOf(t, whole...), e
		}},
		"twice": {proptest.Repeated, func(t *rapid.T, d *drawn) (string, proptest.Event) {
			who, e := anyOf(t, "once", "per run"), landed(t, d)
			f := d.follower(who)
			f.Steps = append(f.Steps, deliver(e)...)
			return who, e
		}},
		"twice across a restart that must not show": {proptest.Repeated, func(_ *rapid.T, d *drawn) (string, proptest.Event) {
			f := d.follower("once")
			e := f.Steps[len(f.Steps)-1].Event
			f.Steps = append(f.Steps, proptest.Step{Kind: proptest.Restarted})
			f.Steps = append(f.Steps, deliver(e)...)
			return "once", e
		}},
		"again although it was stored": {proptest.Repeated, func(t *rapid.T, d *drawn) (string, proptest.Event) {
			who, e := anyOf(t, "per run", "at least"), rapid.SampledFrom(d.landed[:3]).Draw(t, "stored")
			insert(d.follower(who), 4+2, e)
			return who, e
		}},
		"in the log twice": {proptest.Repeated, func(t *rapid.T, d *drawn) (string, proptest.Event) {
			e := landed(t, d)
			d.Log = append(slices.Clone(d.landed), e)
			return "", e
		}},
		"behind a later one": {proptest.Reordered, func(t *rapid.T, d *drawn) (string, proptest.Event) {
			who := anyOf(t, whole...)
			f := d.follower(who)
			drop(f, d.landed[0]) // 0@1
			insert(f, 2, d.landed[0])
			return who, d.landed[0]
		}},
		"behind a later one in the second run": {proptest.Reordered, func(_ *rapid.T, d *drawn) (string, proptest.Event) {
			f := d.follower("per run")
			reset := slices.IndexFunc(f.Steps, func(s proptest.Step) bool { return s.Kind == proptest.Reset })
			f.Steps[reset+1], f.Steps[reset+3] = f.Steps[reset+3], f.Steps[reset+1] // 0@1 and 0@2
			return "per run", d.landed[0]
		}},
		"delivered although it failed": {proptest.Refused, func(t *rapid.T, d *drawn) (string, proptest.Event) {
			who, e := anyOf(t, whole...), d.refused[0]
			f := d.follower(who)
			f.Steps = append(f.Steps, deliver(e)...)
			return who, e
		}},
		"delivered and, as the log shows, never landed": {proptest.Refused, func(t *rapid.T, d *drawn) (string, proptest.Event) {
			who, e := anyOf(t, whole...), d.unlanded
			d.Log = slices.Clone(d.landed)
			f := d.follower(who)
			f.Steps = append(f.Steps, deliver(e)...)
			return who, e
		}},
		"in the log although it failed": {proptest.Refused, func(_ *rapid.T, d *drawn) (string, proptest.Event) {
			e := d.refused[0]
			d.Log = append(slices.Clone(d.landed), e)
			return "", e
		}},
		"has effect although it was taken back": {proptest.Refused, func(_ *rapid.T, d *drawn) (string, proptest.Event) {
			f := d.follower("once")
			f.Steps = append(f.Steps, deliver(d.takenBack...)...)
			return "once", d.takenBack[0]
		}},
		"delivered although nobody appended it": {proptest.Invented, func(t *rapid.T, d *drawn) (string, proptest.Event) {
			who, e := anyOf(t, whole...), proptest.Event{ID: uuid.UUID{1}, Stream: es.StreamID{Category: "h", Key: "3"}, Version: 1}
			insert(d.follower(who), 0, e)
			return who, e
		}},
		"in the log although nobody appended it": {proptest.Invented, func(_ *rapid.T, d *drawn) (string, proptest.Event) {
			e := proptest.Event{ID: uuid.UUID{1}, Stream: es.StreamID{Category: "h", Key: "3"}, Version: 1, Position: 1000}
			d.Log = append(slices.Clone(d.landed), e)
			return "", e
		}},
		"delivered although it was not selected": {proptest.Invented, func(_ *rapid.T, d *drawn) (string, proptest.Event) {
			f := d.follower("zeros")
			f.Steps = append(f.Steps, deliver(d.landed[1])...)
			return "zeros", d.landed[1]
		}},
		"an effect before its cause": {proptest.Premature, func(t *rapid.T, d *drawn) (string, proptest.Event) {
			who := anyOf(t, whole...)
			f := d.follower(who)
			f.Steps[0], f.Steps[1] = f.Steps[1], f.Steps[0] // 0@1 causes 1@1
			return who, d.landed[1]
		}},
		"behind what began later": {proptest.Premature, func(_ *rapid.T, d *drawn) (string, proptest.Event) {
			for i := range d.Writes {
				d.Writes[i].Causes = nil
			}
			f := d.follower("once")
			f.Steps[0], f.Steps[1] = f.Steps[1], f.Steps[0]
			return "once", d.landed[1]
		}},
		"in the place of another one": {proptest.Misplaced, func(_ *rapid.T, d *drawn) (string, proptest.Event) {
			e := d.landed[0]
			e.ID = uuid.UUID{15: 255}
			d.Writes = append(d.Writes, proptest.Write{Events: []proptest.Event{e}})
			return "", e
		}},
		"delivered with another version": {proptest.Misplaced, func(t *rapid.T, d *drawn) (string, proptest.Event) {
			who := anyOf(t, whole...)
			f := d.follower(who)
			last := &f.Steps[len(f.Steps)-1].Event
			last.Version += 7
			return who, *last
		}},
		"delivered with another position": {proptest.Misplaced, func(t *rapid.T, d *drawn) (string, proptest.Event) {
			who := anyOf(t, whole...)
			f := d.follower(who)
			last := &f.Steps[len(f.Steps)-1].Event
			last.Position++
			return who, *last
		}},
		"a hole in the log": {proptest.Misplaced, func(_ *rapid.T, d *drawn) (string, proptest.Event) {
			d.Log = slices.Delete(slices.Clone(d.landed), 0, 1)
			return "", d.landed[2]
		}},
		"a position that goes back": {proptest.Misplaced, func(_ *rapid.T, d *drawn) (string, proptest.Event) {
			d.Log = slices.Clone(d.landed)
			d.Log[0], d.Log[1] = d.Log[1], d.Log[0]
			return "", d.landed[0]
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				d := drawHistory(t)
				who, e := c.plant(t, d)
				v := proptest.Check(d.History)
				if !slices.ContainsFunc(v, func(x proptest.Violation) bool { return x.Fault == c.fault && x.Follower == who && x.Event == e }) {
					t.Fatalf("planted: %s %s for %q; found: %v", c.fault, e, who, v)
				}
				if text := v.String(); !strings.Contains(text, string(c.fault)) || len(v) < 20 && !strings.Contains(text, e.String()) {
					t.Fatalf("%s %s is not in the text:\n%s", c.fault, e, text)
				}
			})
		})
	}
}

// A follower that does not notice its restarts may be taken back to what it has stored
// at any time, and a cause need not come again for an effect that does.
func TestRedeliveryIsNoViolation(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawHistory(t)
		f := d.follower("at least")
		i := rapid.IntRange(3, len(d.landed)-1).Draw(t, "back to")
		f.Steps = append(f.Steps, deliver(d.landed[i:]...)...)
		if v := proptest.Check(d.History); len(v) > 0 {
			t.Fatal(v)
		}
	})
}

func TestVerdictIsReadable(t *testing.T) {
	t.Parallel()
	e := func(n byte, version int64) proptest.Event {
		return proptest.Event{ID: uuid.UUID{15: n}, Stream: es.StreamID{Category: "account", Key: "7"}, Version: version}
	}
	h := proptest.History{
		Writes:    []proptest.Write{{Events: []proptest.Event{e(1, 1), e(2, 2), e(3, 3)}}},
		Followers: []proptest.Follower{{Name: "balances", Steps: deliver(e(2, 2), e(1, 1), e(2, 2))}},
	}
	v := proptest.Check(h)
	want := "1 lost, 1 reordered, 1 repeated\n" +
		"balances, step 1: reordered account-7@1 (…00000001): account-7@2 (…00000002) came before it\n" +
		"balances, step 2: repeated account-7@2 (…00000002): it came before\n" +
		"balances: lost account-7@3 (…00000003): it never came"
	if diff := cmp.Diff(want, v.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if ok := (proptest.Verdict{}).String(); ok != "the history is in order" {
		t.Error(ok)
	}
}

// fakeStore answers appends as it is told.
type fakeStore struct {
	version int64
	fail    error
}

func (s *fakeStore) Append(_ context.Context, _ es.StreamID, _ es.Expected, events ...es.EventData) (es.AppendResult, error) {
	if s.fail != nil {
		return es.AppendResult{}, s.fail
	}
	s.version += int64(len(events))
	return es.AppendResult{Version: s.version}, nil
}

func TestRecorderRecordsWhatWritersWereTold(t *testing.T) {
	t.Parallel()
	var r proptest.Recorder
	store := &fakeStore{}
	cause := uuid.UUID{15: 9}
	stream := es.StreamID{Category: "h", Key: "0"}
	given := []es.EventData{{ID: uuid.UUID{15: 1}}, {}}
	for _, fail := range []error{nil, es.ErrConflict, &es.OutcomeUnknownError{Err: context.Canceled}} {
		store.fail = fail
		if _, err := r.Appender(store, cause).Append(t.Context(), stream, es.Any, given...); !errors.Is(err, fail) {
			t.Error(err)
		}
		err := r.Transaction(func(record func(es.Appender) es.Appender) error {
			tx := &fakeStore{fail: es.ErrConflict}
			if _, err := record(tx).Append(t.Context(), stream, es.Any, given...); !errors.Is(err, es.ErrConflict) {
				t.Error(err)
			}
			tx.fail = nil
			if _, err := record(tx).Append(t.Context(), stream, es.Any, given[:1]...); err != nil {
				t.Error(err)
			}
			return fail
		})
		if !errors.Is(err, fail) {
			t.Error(err)
		}
	}
	if given[1].ID != uuid.Nil {
		t.Error("the caller's event got an id")
	}
	var got []string
	for _, w := range r.History().Writes {
		got = append(got, fmt.Sprintf("%d events, outcome %d, first version %d, causes %d", len(w.Events), w.Outcome, w.Events[0].Version, len(w.Causes)))
		if last := w.Events[len(w.Events)-1]; last.ID == uuid.Nil || w.Began.IsZero() || w.Ended.Before(w.Began) {
			t.Errorf("%v, from %v to %v", last, w.Began, w.Ended)
		}
	}
	want := []string{
		"2 events, outcome 0, first version 1, causes 1", "1 events, outcome 0, first version 1, causes 0",
		"2 events, outcome 1, first version 0, causes 1", "1 events, outcome 1, first version 1, causes 0",
		"2 events, outcome 2, first version 0, causes 1", "1 events, outcome 2, first version 1, causes 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRecorderIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	var r proptest.Recorder
	f := r.Follow(proptest.Follower{Name: "f", Guarantee: proptest.AtLeastOnce})
	stream := es.StreamID{Category: "h", Key: "0"}
	if err := r.Log(func(yield func(es.Recorded, error) bool) {
		for v := range int64(8) {
			if !yield(es.Recorded{ID: uuid.UUID{15: byte(v)}, Stream: stream, Version: v + 1, Position: v + 1}, nil) {
				return
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			r.Wrote(proptest.Write{Events: []proptest.Event{{ID: uuid.UUID{15: byte(i)}, Stream: stream}}})
			f.Checkpointed()
			f.Reset()
			r.History()
		})
	}
	all.Wait()
	for v := range int64(8) {
		f.Delivered(es.Recorded{ID: uuid.UUID{15: byte(v)}, Stream: stream, Version: v + 1, Position: v + 1})
	}
	f.Restarted()
	if f.Count() != 8 {
		t.Errorf("%d events", f.Count())
	}
	r.Check(t)
	if err := r.Log(func(yield func(es.Recorded, error) bool) { yield(es.Recorded{}, es.ErrCorruptStream) }); !errors.Is(err, es.ErrCorruptStream) {
		t.Errorf("got error %v", err)
	}
}
