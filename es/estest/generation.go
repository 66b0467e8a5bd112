package estest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/peatlog/peat/es"
)

var generationLaws = []law{
	{"a projection has a first generation", testGenerationFirst},
	{"one generation is built at a time, under a number of its own", testRebuild},
	{"a generation takes over when it has come as far", testTakeOver},
	{"a generation that was kept is refused from then on", testTakeOverKeep},
	{"a takeover and what it does take effect together or not at all", testTakeOverFails},
	{"a rebuild that is cancelled leaves no progress", testCancelRebuild},
}

// wantGenerations compares all but Since, which must be a time of the test.
func wantGenerations(t *testing.T, got es.Generations, err error, want es.Generations) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(es.Generations{}, "Since")); diff != "" {
		t.Errorf("generations (-want +got):\n%s", diff)
	}
	if age := time.Since(got.Since); age < -time.Hour || age > time.Hour {
		t.Errorf("live since %v", got.Since)
	}
}

func generations(t *testing.T, b Backend, want es.Generations) {
	t.Helper()
	got, err := b.Store.Generations(t.Context(), "p", 1)
	wantGenerations(t, got, err, want)
}

func testGenerationFirst(t *testing.T, b Backend) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			got, err := b.Store.Generations(t.Context(), "p", 4)
			if err != nil || got.Live != 1 || got.Segments != 4 || got.Building != 0 {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	all.Wait()
	generations(t, b, es.Generations{Live: 1, Segments: 4}) // the number is of the first call
	got, err := b.Store.Generations(t.Context(), "q", 2)
	wantGenerations(t, got, err, es.Generations{Live: 1, Segments: 2})
}

func testRebuild(t *testing.T, b Backend) {
	generations(t, b, es.Generations{Live: 1, Segments: 1})
	got, err := b.Store.BeginRebuild(t.Context(), "p", 3, true)
	wantGenerations(t, got, err, es.Generations{Live: 1, Segments: 1, Building: 2, BuildingSegments: 3, Keep: true})
	if _, err := b.Store.BeginRebuild(t.Context(), "p", 1, false); !errors.Is(err, es.ErrRebuilding) {
		t.Errorf("got error %v, want ErrRebuilding", err)
	}
	generations(t, b, es.Generations{Live: 1, Segments: 1, Building: 2, BuildingSegments: 3, Keep: true})
	for _, to := range []int{0, 1, 3} {
		if err := b.Store.CancelRebuild(t.Context(), es.TakeOver{Name: "p", To: to}); !errors.Is(err, es.ErrNotRebuilding) {
			t.Errorf("cancel %d: got error %v, want ErrNotRebuilding", to, err)
		}
	}
	if err := b.Store.CancelRebuild(t.Context(), es.TakeOver{Name: "p", To: 2}); err != nil {
		t.Fatal(err)
	}
	generations(t, b, es.Generations{Live: 1, Segments: 1})
	got, err = b.Store.BeginRebuild(t.Context(), "p", 1, false)
	wantGenerations(t, got, err, es.Generations{Live: 1, Segments: 1, Building: 3, BuildingSegments: 1})
	if ok, err := b.TakeOver(t.Context(), es.TakeOver{Name: "p", To: 3, Live: []string{"p"}, Next: []string{"p@3"}}, nil); !ok || err != nil {
		t.Fatalf("took over %v, %v", ok, err)
	}
	var begun atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			got, err := b.Store.BeginRebuild(t.Context(), "p", 1, false)
			switch {
			case err == nil:
				begun.Add(1)
				if got.Building != 4 || got.Live != 3 {
					t.Errorf("got %+v, want generation 4 being built", got)
				}
			case !errors.Is(err, es.ErrRebuilding):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := begun.Load(); n != 1 {
		t.Errorf("%d of 8 rebuilds begun", n)
	}
}

// rebuild has two generations of p, the old one with the segments "a" and "b", of
// which b is ahead and has an event parked; the new one is "c" and "d". It returns
// the checkpoints behind each event.
func rebuild(t *testing.T, b Backend, keep bool) (at []es.Checkpoint, old int64) {
	t.Helper()
	mustAppend(t, b.Store, stream, es.NoStream, numbered(1, 4)...)
	batch, err := b.Store.Feed(t.Context(), "", es.FeedOptions{})
	if err != nil || len(batch.Events) != 4 {
		t.Fatalf("%d events, %v", len(batch.Events), err)
	}
	for n := range 5 {
		at = append(at, batch.Prefix(n))
	}
	if _, err := b.Store.Generations(t.Context(), "p", 2); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Store.BeginRebuild(t.Context(), "p", 2, keep); err != nil {
		t.Fatal(err)
	}
	_, a := mustClaim(t, b, "a")
	mustSave(t, b, es.Progress{Subscription: "a", Revision: a, Checkpoint: at[1]})
	_, old = mustClaim(t, b, "b")
	mustSave(t, b, es.Progress{Subscription: "b", Revision: old, Checkpoint: at[3], Park: failures(batch.Events[0])})
	return at, old + 1
}

var twoToTwo = es.TakeOver{Name: "p", To: 2, Live: []string{"a", "b"}, Next: []string{"c", "d"}}

// build stores a checkpoint of the new generation.
func build(t *testing.T, b Backend, subscription string, cp es.Checkpoint) {
	t.Helper()
	_, revision := mustClaim(t, b, subscription)
	mustSave(t, b, es.Progress{Subscription: subscription, Revision: revision, Checkpoint: cp})
}

func testTakeOver(t *testing.T, b Backend) {
	at, old := rebuild(t, b, false)
	early := func(when string) {
		t.Helper()
		ok, err := b.TakeOver(t.Context(), twoToTwo, func(tx es.Tx) error {
			_, err := tx.Append(t.Context(), other, es.Any, event(9))
			return err
		})
		if ok || err != nil {
			t.Errorf("%s: took over %v, %v; want false", when, ok, err)
		}
		generations(t, b, es.Generations{Live: 1, Segments: 2, Building: 2, BuildingSegments: 2})
		wantCheckpoint(t, b.Store, "b", plain(at[3]), old)
		wantIDs(t, b.Store, other)
	}
	early("nothing built")
	build(t, b, "c", at[4])
	early("one segment has not begun")
	build(t, b, "d", at[2])
	early("one segment is behind")
	build(t, b, "c", at[2])
	build(t, b, "d", at[4])
	early("the other one is behind")
	build(t, b, "c", at[3])
	_, next, err := b.Store.LoadCheckpoint(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := b.TakeOver(t.Context(), twoToTwo, nil); !ok || err != nil {
		t.Fatalf("took over %v, %v", ok, err)
	}
	generations(t, b, es.Generations{Live: 2, Segments: 2})
	for _, name := range twoToTwo.Live {
		wantCheckpoint(t, b.Store, name, "", 0)
	}
	wantParked(t, b, nil, "a", "b")
	wantStale(t, b.Store.SaveProgress(t.Context(), es.Progress{Subscription: "b", Revision: old, Checkpoint: at[4]}), "b", old)
	mustSave(t, b, es.Progress{Subscription: "c", Revision: next, Checkpoint: at[4]}) // it goes on
	if ok, err := b.TakeOver(t.Context(), twoToTwo, nil); ok || !errors.Is(err, es.ErrNotRebuilding) {
		t.Errorf("took over again %v, %v; want ErrNotRebuilding", ok, err)
	}
	if ok, err := b.TakeOver(t.Context(), es.TakeOver{Name: "none", To: 2}, nil); ok || !errors.Is(err, es.ErrNotRebuilding) {
		t.Errorf("took over what is not there: %v, %v; want ErrNotRebuilding", ok, err)
	}
}

func testTakeOverKeep(t *testing.T, b Backend) {
	at, old := rebuild(t, b, true)
	build(t, b, "c", at[4])
	build(t, b, "d", at[4])
	wrong := twoToTwo
	wrong.To = 3
	if ok, err := b.TakeOver(t.Context(), wrong, nil); ok || !errors.Is(err, es.ErrNotRebuilding) {
		t.Errorf("took over %v, %v; want ErrNotRebuilding", ok, err)
	}
	if ok, err := b.TakeOver(t.Context(), twoToTwo, nil); !ok || err != nil {
		t.Fatalf("took over %v, %v", ok, err)
	}
	generations(t, b, es.Generations{Live: 2, Segments: 2})
	cp, revision, err := b.Store.LoadCheckpoint(t.Context(), "b")
	if err != nil || plain(cp) != plain(at[3]) || revision <= old {
		t.Errorf("kept %s of revision %d, %v; want %s and more than %d", cp, revision, err, at[3], old)
	}
	wantStale(t, b.Store.SaveProgress(t.Context(), es.Progress{Subscription: "b", Revision: old, Checkpoint: at[4]}), "b", old)
	wantCount(t, b, "b", 1)
}

func testTakeOverFails(t *testing.T, b Backend) {
	at, old := rebuild(t, b, false)
	build(t, b, "c", at[4])
	build(t, b, "d", at[4])
	e := event(9)
	takeOver := func(result error) (bool, error) {
		return b.TakeOver(t.Context(), twoToTwo, func(tx es.Tx) error {
			mustAppend(t, tx, other, es.NoStream, e)
			return result
		})
	}
	if ok, err := takeOver(errRefused); ok || err != errRefused { //nolint:errorlint // it must come back as it is
		t.Errorf("took over %v, error %v; want the function's own", ok, err)
	}
	generations(t, b, es.Generations{Live: 1, Segments: 2, Building: 2, BuildingSegments: 2})
	wantIDs(t, b.Store, other)
	mustSave(t, b, es.Progress{Subscription: "b", Revision: old, Checkpoint: at[3]}) // it is not fenced
	wantCount(t, b, "b", 1)
	if ok, err := takeOver(nil); !ok || err != nil {
		t.Fatalf("took over %v, %v", ok, err)
	}
	wantIDs(t, b.Store, other, e)
	generations(t, b, es.Generations{Live: 2, Segments: 2})
}

func testCancelRebuild(t *testing.T, b Backend) {
	at, old := rebuild(t, b, true)
	_, revision := mustClaim(t, b, "c")
	first := read(t, b.Store, stream, es.ReadOptions{Limit: 1})
	mustSave(t, b, es.Progress{Subscription: "c", Revision: revision, Checkpoint: at[4], Park: failures(first...)})
	if err := b.Store.CancelRebuild(t.Context(), twoToTwo); err != nil {
		t.Fatal(err)
	}
	generations(t, b, es.Generations{Live: 1, Segments: 2})
	wantCheckpoint(t, b.Store, "c", "", 0)
	wantParked(t, b, nil, "c")
	wantStale(t, b.Store.SaveProgress(t.Context(), es.Progress{Subscription: "c", Revision: revision + 1}), "c", revision+1)
	wantCheckpoint(t, b.Store, "b", plain(at[3]), old)
	wantCount(t, b, "b", 1)
	if err := b.Store.CancelRebuild(t.Context(), twoToTwo); !errors.Is(err, es.ErrNotRebuilding) {
		t.Errorf("cancelled again: got error %v, want ErrNotRebuilding", err)
	}
}
