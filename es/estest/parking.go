package estest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/peatlog/peat/es"
)

var parkingLaws = []law{
	{"parked events come back in order until they are taken back", testParked},
	{"an event that fails again stays parked with what it says now", testParkedAgain},
	{"a redrive is asked for one stream or for all", testRedrive},
	{"who discards a parked event is recorded, and why", testDiscard},
	{"an event waits only for one that is parked", testWaitsForParked},
}

// park appends events to two streams by turns and parks them all, those of stream in
// the subscription "s" and those of other in "t".
func park(t *testing.T, b Backend) (mine, others []es.Recorded) {
	t.Helper()
	for n := range 3 {
		mustAppend(t, b.Store, stream, es.Any, event(2*n))
		mustAppend(t, b.Store, other, es.Any, event(2*n+1))
	}
	mine, others = read(t, b.Store, stream, es.ReadOptions{}), read(t, b.Store, other, es.ReadOptions{})
	backward := failures(mine...)
	slices.Reverse(backward)
	mustSave(t, b, es.Progress{Subscription: "s", Park: backward})
	mustSave(t, b, es.Progress{Subscription: "t", Park: failures(others...)})
	return mine, others
}

// wantCount checks how many events the readers have parked.
func wantCount(t *testing.T, b Backend, subscription string, want int) {
	t.Helper()
	readers, err := b.Store.Readers(t.Context(), subscription)
	if err != nil || len(readers) != 1 || readers[0].Parked != want {
		t.Errorf("readers %+v, %v; want %d parked", readers, err, want)
	}
}

func testParked(t *testing.T, b Backend) {
	before := time.Now()
	mine, others := park(t, b)
	wantParked(t, b, failures(mine...), "s")
	wantParked(t, b, nil)
	wantParked(t, b, nil, "none")
	both := append(failures(mine...), failures(others...)...)
	slices.SortFunc(both, func(a, b es.Failure) int { return int(a.Position - b.Position) })
	wantParked(t, b, both, "t", "s")
	parked, err := b.Store.Parked(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parked {
		if p.Subscription != "s" || p.Redrive || p.ParkedAt.Before(before.Add(-time.Hour)) || p.ParkedAt.After(time.Now().Add(time.Hour)) {
			t.Errorf("parked %+v", p)
		}
	}
	wantCount(t, b, "s", 3)

	readParked := func(limit int, want ...es.Recorded) {
		t.Helper()
		got, err := b.Store.ReadParked(t.Context(), "s", stream, limit)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("error %v, read (-want +got):\n%s", err, diff)
		}
	}
	readParked(10, mine...)
	readParked(2, mine[:2]...)
	if got, err := b.Store.ReadParked(t.Context(), "s", other, 10); err != nil || len(got) > 0 {
		t.Errorf("%d events of a stream that is not parked, %v", len(got), err)
	}
	for _, absent := range []int64{others[0].Position, 1 << 40} { // parked elsewhere, or nowhere
		p := es.Progress{Subscription: "s", Revision: 1, Unpark: []int64{mine[0].Position, absent}}
		if err := b.Store.SaveProgress(t.Context(), p); !errors.Is(err, es.ErrNotParked) {
			t.Errorf("took back %d: error %v, want ErrNotParked", absent, err)
		}
	}
	readParked(10, mine...)
	mustSave(t, b, es.Progress{Subscription: "s", Revision: 1, Unpark: []int64{mine[0].Position}})
	readParked(10, mine[1:]...)
	wantCount(t, b, "s", 2)
	wantCount(t, b, "t", 3)
	mustSave(t, b, es.Progress{Subscription: "s", Revision: 2, Unpark: []int64{mine[1].Position, mine[2].Position}})
	wantParked(t, b, nil, "s")
	wantCount(t, b, "s", 0)
}

func testParkedAgain(t *testing.T, b Backend) {
	mine, _ := park(t, b)
	if _, err := b.Store.RequestRedrive(t.Context(), stream, "s"); err != nil {
		t.Fatal(err)
	}
	want := failures(mine...)
	want[0].Error, want[0].Attempts = "it failed again", 7
	mustSave(t, b, es.Progress{Subscription: "s", Revision: 1, Park: want[:1]})
	wantParked(t, b, want, "s")
	wantCount(t, b, "s", 3)
	wantRedrive(t, b, 2, 3)
}

// wantRedrive checks which versions in the subscription "s" are asked for.
func wantRedrive(t *testing.T, b Backend, want ...int64) {
	t.Helper()
	parked, err := b.Store.Parked(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for _, p := range parked {
		if p.Redrive {
			got = append(got, p.Version)
		}
	}
	if !slices.Equal(want, got) {
		t.Errorf("the versions %v are asked for, want %v", got, want)
	}
}

func testRedrive(t *testing.T, b Backend) {
	mine, others := park(t, b)
	request := func(id es.StreamID, want int, subscriptions ...string) {
		t.Helper()
		if n, err := b.Store.RequestRedrive(t.Context(), id, subscriptions...); n != want || err != nil {
			t.Errorf("asked for %d events of %s, %v; want %d", n, id, err, want)
		}
	}
	request(other, 0, "s")
	request(es.StreamID{Category: "law", Key: "none"}, 0, "s")
	request(stream, 0, "t", "none")
	request(es.StreamID{}, 0)
	request(es.StreamID{}, 3, "t")
	wantRedrive(t, b)
	request(stream, 3, "s", "t")
	wantRedrive(t, b, 1, 2, 3)
	mustSave(t, b, es.Progress{Subscription: "s", Revision: 1, Park: append(failures(mine[1:]...), failures(others...)...)})
	wantRedrive(t, b, 1)
	request(other, 3, "s")
	wantRedrive(t, b, 1, 1, 2, 3)
	request(es.StreamID{}, 9, "s", "t")
	if _, err := b.Store.RequestRedrive(t.Context(), es.StreamID{Key: "1"}, "s"); !errors.Is(err, es.ErrInvalidStream) {
		t.Errorf("got error %v, want ErrInvalidStream", err)
	}
}

func testDiscard(t *testing.T, b Backend) {
	mine, _ := park(t, b)
	refused := func(id es.StreamID, version int64, subscriptions ...string) {
		t.Helper()
		if err := b.Store.Discard(t.Context(), id, version, "eva", "no", subscriptions...); !errors.Is(err, es.ErrNotParked) {
			t.Errorf("%s version %d: got error %v, want ErrNotParked", id, version, err)
		}
	}
	refused(stream, 4, "s")
	refused(other, 1, "s")
	refused(stream, 1, "t")
	refused(stream, 1)
	wantParked(t, b, failures(mine...), "s")
	mustSave(t, b, es.Progress{Subscription: "u", Park: failures(mine...)})
	before := time.Now()
	if err := b.Store.Discard(t.Context(), stream, 1, "eva", "a test", "t", "s"); err != nil {
		t.Fatal(err)
	}
	wantParked(t, b, failures(mine...)[1:], "s")
	wantCount(t, b, "t", 3)
	refused(stream, 1, "s")
	if err := b.Store.Discard(t.Context(), stream, 3, "adam", "", "s"); err != nil {
		t.Fatal(err)
	}
	wantCount(t, b, "u", 3) // it was not asked
	got, err := b.Store.Discarded(t.Context(), "s", "t", "u")
	if err != nil {
		t.Fatal(err)
	}
	want := []es.Discarded{
		{Subscription: "s", Failure: failures(mine...)[0], By: "eva", Reason: "a test"},
		{Subscription: "s", Failure: failures(mine...)[2], By: "adam"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(es.Discarded{}, "DiscardedAt")); diff != "" {
		t.Errorf("discarded (-want +got):\n%s", diff)
	}
	for _, d := range got {
		if d.DiscardedAt.Before(before.Add(-time.Hour)) || d.DiscardedAt.After(time.Now().Add(time.Hour)) {
			t.Errorf("discarded at %v", d.DiscardedAt)
		}
	}
	if got, err := b.Store.Discarded(t.Context(), "t"); err != nil || len(got) > 0 {
		t.Errorf("discarded in another subscription: %+v, %v", got, err)
	}
	if n := len(read(t, b.Store, stream, es.ReadOptions{})); n != 3 {
		t.Errorf("%d events in the log, want 3", n)
	}
}

func testWaitsForParked(t *testing.T, b Backend) {
	mustAppend(t, b.Store, stream, es.NoStream, numbered(0, 4)...)
	mustAppend(t, b.Store, other, es.NoStream, event(4))
	recs := read(t, b.Store, stream, es.ReadOptions{})
	waiting := failures(recs...)
	waiting[0].Error, waiting[0].Attempts = "", 0
	revision := int64(0)
	save := func(unpark, park []es.Failure) error {
		p := es.Progress{Subscription: "s", Revision: revision, Checkpoint: `{"v":1}`, Park: park}
		for _, f := range unpark {
			p.Unpark = append(p.Unpark, f.Position)
		}
		return b.Store.SaveProgress(t.Context(), p)
	}
	refused := func(when string, unpark, park []es.Failure) {
		t.Helper()
		_, before, err := b.Store.LoadCheckpoint(t.Context(), "s")
		if err != nil {
			t.Fatal(err)
		}
		if err := save(unpark, park); !errors.Is(err, es.ErrNotParked) {
			t.Errorf("%s: got error %v, want ErrNotParked", when, err)
		}
		if _, after, err := b.Store.LoadCheckpoint(t.Context(), "s"); err != nil || after != before {
			t.Errorf("%s: the revision was %d and is %d, %v", when, before, after, err)
		}
	}
	taken := func(when string, unpark, park []es.Failure) {
		t.Helper()
		if err := save(unpark, park); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		revision++
	}

	refused("nothing was ever parked", nil, waiting[:1])
	mustSave(t, b, es.Progress{Subscription: "t", Park: failures(recs[0])})
	taken("another stream fails", nil, failures(read(t, b.Store, other, es.ReadOptions{})...))
	refused("another subscription and another stream have something parked", nil, waiting[1:2])
	wantParked(t, b, failures(read(t, b.Store, other, es.ReadOptions{})...), "s")
	taken("one fails and the next waits", nil, []es.Failure{waiting[1], failures(recs[0])[0]})
	taken("one more waits", nil, waiting[2:3])
	refused("all that are parked are taken back", waiting[:3], waiting[3:])
	taken("one that waits is left", append(waiting[:1:1], waiting[2]), waiting[3:])
	wantStale(t, b.Store.SaveProgress(t.Context(), es.Progress{Subscription: "u", Revision: 7, Park: waiting[:1]}), "u", 7)

	for _, version := range []int64{2, 4} {
		if err := b.Store.Discard(t.Context(), stream, version, "eva", "a test", "s"); err != nil {
			t.Fatal(err)
		}
	}
	refused("all that were parked are discarded", nil, waiting[2:3])
	e := event(5)
	err := b.Deliver(t.Context(), func(tx es.Tx) error {
		_, err := tx.Append(t.Context(), es.StreamID{Category: "law", Key: "effect"}, es.NoStream, e)
		return err
	}, es.Progress{Subscription: "s", Revision: revision, Park: waiting[2:3]})
	if !errors.Is(err, es.ErrNotParked) {
		t.Errorf("delivered: got error %v, want ErrNotParked", err)
	}
	wantIDs(t, b.Store, es.StreamID{Category: "law", Key: "effect"}) // nothing
	if _, after, err := b.Store.LoadCheckpoint(t.Context(), "s"); err != nil || after != revision {
		t.Errorf("delivered: the revision is %d, %v; want %d", after, err, revision)
	}
}
