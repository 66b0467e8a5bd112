package estest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/es"
)

var progressLaws = []law{
	{"nothing of stale progress takes effect", testProgressStale},
	{"a claim makes every earlier holder stale", testClaim},
	{"a claim is above every revision ever given, also if the row was deleted", testClaimForgotten},
	{"of many claims and holders at once only the last claim can go on", testClaimRace},
}

// wantCheckpoint checks what is stored of a subscription.
func wantCheckpoint(t *testing.T, s es.Checkpointer, subscription string, want es.Checkpoint, wantRevision int64) {
	t.Helper()
	got, revision, err := s.LoadCheckpoint(t.Context(), subscription)
	if plain(got) != plain(want) || revision != wantRevision || err != nil {
		t.Errorf("%s: loaded %s of revision %d, %v; want %s of %d", subscription, got, revision, err, want, wantRevision)
	}
}

// plain is a checkpoint without what a store may do to it when it keeps it: another
// form of the JSON text, and no mark of the server that it was read from.
func plain(cp es.Checkpoint) es.Checkpoint {
	var fields map[string]any
	if err := json.Unmarshal([]byte(cp), &fields); err != nil {
		return cp
	}
	delete(fields, "incarnation")
	text, err := json.Marshal(fields)
	if err != nil {
		return cp
	}
	return es.Checkpoint(text)
}

// wantStale checks that err says that this revision was overtaken.
func wantStale(t *testing.T, err error, subscription string, revision int64) {
	t.Helper()
	stale, ok := errors.AsType[*es.StaleCheckpointError](err)
	if !ok || !errors.Is(err, es.ErrStaleCheckpoint) || stale.Subscription != subscription || stale.Revision != revision {
		t.Errorf("progress over revision %d of %s: %v, want ErrStaleCheckpoint", revision, subscription, err)
	}
}

func mustClaim(t *testing.T, b Backend, subscription string) (es.Checkpoint, int64) {
	t.Helper()
	cp, revision, err := b.Store.ClaimCheckpoint(t.Context(), subscription, "holder")
	if err != nil {
		t.Fatal(err)
	}
	return cp, revision
}

func mustSave(t *testing.T, b Backend, p es.Progress) {
	t.Helper()
	if err := b.Store.SaveProgress(t.Context(), p); err != nil {
		t.Fatalf("save %+v: %v", p, err)
	}
}

// failures are the events of a stream as they are parked: the first one failed, the
// others wait behind it.
func failures(recs ...es.Recorded) []es.Failure {
	parked := make([]es.Failure, len(recs))
	for i, r := range recs {
		parked[i] = es.Failure{Position: r.Position, Stream: r.Stream, Version: r.Version}
	}
	parked[0].Error, parked[0].Attempts = "it failed", 3
	return parked
}

func testProgressStale(t *testing.T, b Backend) {
	mustAppend(t, b.Store, stream, es.NoStream, numbered(1, 3)...)
	recs := read(t, b.Store, stream, es.ReadOptions{})
	mustSave(t, b, es.Progress{Subscription: "s", Checkpoint: `{"v":1}`, Park: failures(recs[0], recs[1])})
	for _, revision := range []int64{0, 2, -1} {
		err := b.Store.SaveProgress(t.Context(), es.Progress{
			Subscription: "s", Revision: revision, Checkpoint: `{"v":2}`, Park: failures(recs[2]), Unpark: []int64{recs[0].Position},
		})
		wantStale(t, err, "s", revision)
		// Also when another one has taken back already what this one believes parked.
		err = b.Store.SaveProgress(t.Context(), es.Progress{Subscription: "s", Revision: revision, Unpark: []int64{1 << 40}})
		wantStale(t, err, "s", revision)
	}
	err := b.Store.SaveProgress(t.Context(), es.Progress{Subscription: "none", Revision: 1, Park: failures(recs[2])})
	wantStale(t, err, "none", 1)
	wantCheckpoint(t, b.Store, "s", `{"v":1}`, 1)
	wantCheckpoint(t, b.Store, "none", "", 0)
	wantParked(t, b, failures(recs[0], recs[1]), "s", "none")
	mustSave(t, b, es.Progress{Subscription: "s", Revision: 1, Checkpoint: `{"v":2}`, Park: failures(recs[2]), Unpark: []int64{recs[0].Position}})
	wantCheckpoint(t, b.Store, "s", `{"v":2}`, 2)
	if parked, err := b.Store.Parked(t.Context(), "s"); err != nil || len(parked) != 2 || parked[0].Version != 2 || parked[1].Version != 3 {
		t.Errorf("parked %+v, %v; want the versions 2 and 3", parked, err)
	}
}

func testClaim(t *testing.T, b Backend) {
	cp, first := mustClaim(t, b, "s")
	if cp != "" || first <= 0 {
		t.Errorf("a first claim gives %s of revision %d", cp, first)
	}
	mustSave(t, b, es.Progress{Subscription: "s", Revision: first, Checkpoint: `{"v":1}`})
	wantCheckpoint(t, b.Store, "s", `{"v":1}`, first+1)
	cp, second := mustClaim(t, b, "s")
	if plain(cp) != `{"v":1}` || second <= first+1 {
		t.Errorf("a second claim gives %s of revision %d; want the stored checkpoint and more than %d", cp, second, first+1)
	}
	for _, revision := range []int64{0, first, first + 1, second - 1} {
		wantStale(t, b.Store.SaveProgress(t.Context(), es.Progress{Subscription: "s", Revision: revision, Checkpoint: `{"v":2}`}), "s", revision)
	}
	wantCheckpoint(t, b.Store, "s", `{"v":1}`, second)
	mustSave(t, b, es.Progress{Subscription: "s", Revision: second, Checkpoint: `{"v":3}`})
	wantCheckpoint(t, b.Store, "s", `{"v":3}`, second+1)
	wantCheckpoint(t, b.Store, "other", "", 0)
}

func testClaimForgotten(t *testing.T, b Backend) {
	var highest int64
	for n := range 3 {
		_, claimed := mustClaim(t, b, "s")
		if claimed <= highest {
			t.Fatalf("claim %d gives revision %d again, %d was given", n+1, claimed, highest)
		}
		for highest = claimed; highest < claimed+20; highest++ {
			mustSave(t, b, es.Progress{Subscription: "s", Revision: highest})
		}
		if err := b.Forget(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
		wantCheckpoint(t, b.Store, "s", "", 0)
		wantStale(t, b.Store.SaveProgress(t.Context(), es.Progress{Subscription: "s", Revision: highest}), "s", highest)
		mustClaim(t, b, "another")
	}
	_, claimed := mustClaim(t, b, "s")
	wantStale(t, b.Store.SaveProgress(t.Context(), es.Progress{Subscription: "s", Revision: highest}), "s", highest)
	wantCheckpoint(t, b.Store, "s", "", claimed)
}

func testClaimRace(t *testing.T, b Backend) {
	var all sync.WaitGroup
	var saved atomic.Int64
	claims := make([]int64, 8)
	for n := range claims {
		all.Go(func() {
			_, revision, err := b.Store.ClaimCheckpoint(t.Context(), "s", fmt.Sprintf("holder %d", n))
			if err != nil {
				t.Error(err)
				return
			}
			for claims[n] = revision; ; revision++ {
				err := b.Store.SaveProgress(t.Context(), es.Progress{Subscription: "s", Revision: revision})
				if revision >= claims[n]+10 || errors.Is(err, es.ErrStaleCheckpoint) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				saved.Add(1)
			}
		})
	}
	all.Wait()
	seen, last := map[int64]bool{}, int64(0)
	for _, revision := range claims {
		if seen[revision] {
			t.Errorf("two claims have revision %d", revision)
		}
		seen[revision], last = true, max(last, revision)
	}
	if _, revision, err := b.Store.LoadCheckpoint(t.Context(), "s"); err != nil || revision <= last || saved.Load() < 10 {
		t.Errorf("revision %d, %v, %d saved; want the last claim, %d, to have saved", revision, err, saved.Load(), last)
	}
}

// wantParked checks what is parked, all of it.
func wantParked(t *testing.T, b Backend, want []es.Failure, subscriptions ...string) {
	t.Helper()
	parked, err := b.Store.Parked(t.Context(), subscriptions...)
	if err != nil {
		t.Fatal(err)
	}
	var got []es.Failure
	for _, p := range parked {
		got = append(got, p.Failure)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parked (-want +got):\n%s", diff)
	}
}
