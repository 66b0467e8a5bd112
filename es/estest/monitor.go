package estest

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/es"
)

var monitorLaws = []law{
	{"readers tell who works on a subscription and how it is", testReaders},
	{"a failure is kept until there is progress or a claim", testRecordFailure},
	{"a lag counts what the filter selects", testLag},
	{"an event is delivered when its segment's checkpoint is behind it", testDelivered},
}

func reader(t *testing.T, b Backend, subscription string) es.Reader {
	t.Helper()
	readers, err := b.Store.Readers(t.Context(), subscription)
	if err != nil || len(readers) != 1 {
		t.Fatalf("%d readers, %v", len(readers), err)
	}
	return readers[0]
}

func testReaders(t *testing.T, b Backend) {
	recent := func(what string, at time.Time) {
		t.Helper()
		if age := time.Since(at); age < -time.Hour || age > time.Hour {
			t.Errorf("%s at %v", what, at)
		}
	}
	mustSave(t, b, es.Progress{Subscription: "unclaimed", Checkpoint: `{"v":1}`})
	mustClaim(t, b, "s")
	_, revision, err := b.Store.ClaimCheckpoint(t.Context(), "s", "eva")
	if err != nil {
		t.Fatal(err)
	}
	mustSave(t, b, es.Progress{Subscription: "s", Revision: revision, Checkpoint: `{"v":2}`})
	session := open(t, b, time.Minute)
	acquire(t, session, []string{"unclaimed"}, "unclaimed")
	got, err := b.Store.Readers(t.Context(), "s", "none", "unclaimed", "s")
	if err != nil || len(got) != 4 {
		t.Fatalf("%d readers, %v", len(got), err)
	}
	recent("claimed", got[0].ClaimedAt)
	recent("updated", got[0].UpdatedAt)
	recent("updated", got[2].UpdatedAt)
	if diff := cmp.Diff(got[0], got[3]); diff != "" {
		t.Errorf("the same reader twice (-first +second):\n%s", diff)
	}
	for i := range got {
		got[i].Checkpoint, got[i].UpdatedAt = plain(got[i].Checkpoint), time.Time{}
	}
	got[0].ClaimedAt = time.Time{}
	want := []es.Reader{
		{Checkpoint: `{"v":2}`, Revision: revision + 1, Holder: "eva"}, {}, {Checkpoint: `{"v":1}`, Revision: 1, Held: true},
	}
	if diff := cmp.Diff(want, got[:3]); diff != "" {
		t.Errorf("readers (-want +got):\n%s", diff)
	}
	release(t, session, "unclaimed")
	if reader(t, b, "unclaimed").Held {
		t.Error("it is held although it was released")
	}
	if got, err := b.Store.Readers(t.Context()); err != nil || len(got) > 0 {
		t.Errorf("no subscription has %d readers, %v", len(got), err)
	}
}

func testRecordFailure(t *testing.T, b Backend) {
	_, revision := mustClaim(t, b, "s")
	fail := func(revision int64, reason string) {
		t.Helper()
		if err := b.Store.RecordFailure(t.Context(), "s", revision, reason); err != nil && !errors.Is(err, es.ErrStaleCheckpoint) {
			t.Fatal(err)
		}
	}
	want := func(want string) {
		t.Helper()
		if got := reader(t, b, "s").Error; got != want {
			t.Errorf("the reader says %q, want %q", got, want)
		}
	}
	want("")
	fail(revision, "first")
	want("first")
	fail(revision, "second")
	want("second")
	fail(revision-1, "of somebody who was overtaken")
	want("second")
	mustSave(t, b, es.Progress{Subscription: "s", Revision: revision})
	want("")
	fail(revision, "late")
	want("")
	fail(revision+1, "third")
	wantStale(t, b.Store.SaveProgress(t.Context(), es.Progress{Subscription: "s", Revision: revision}), "s", revision)
	want("third")
	mustClaim(t, b, "s")
	want("")
	fail(revision+1, "late")
	want("")
}

func testLag(t *testing.T, b Backend) {
	lag := func(behind es.Checkpoint, filter es.Filter) es.Lag {
		t.Helper()
		got, err := b.Store.Lag(t.Context(), behind, es.FeedOptions{Filter: filter, MaxEvents: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got.Done < 0 || got.Done > 1 || got.More || got.Age < 0 || got.Age > time.Hour || got.Events == 0 && got.Age > 0 {
			t.Errorf("behind %s: %+v", behind, got)
		}
		return got
	}
	if got := lag("", es.Filter{}); got.Events != 0 || got.Done != 1 {
		t.Errorf("in an empty log: %+v", got)
	}
	ids := []es.StreamID{stream, other, {Category: "law", Key: "b"}}
	for n := range 30 {
		e := event(n)
		e.Type = "law.type" + strconv.Itoa(n%2)
		mustAppend(t, b.Store, ids[n%len(ids)], es.Any, e)
	}
	filters := []es.Filter{
		{}, {Categories: []string{"law"}}, {Categories: []string{"law", "other"}}, {Types: []string{"law.type1"}}, {Stream: other},
		{Types: []string{"law.never"}}, {Segment: 0, Segments: 2}, {Segment: 1, Segments: 2}, {Categories: []string{"law"}, Types: []string{"law.type0"}},
	}
	for _, filter := range filters {
		opts := es.FeedOptions{Filter: filter, MaxEvents: 4}
		all, end := follow(t, b.Store, "", opts)
		if got := lag("", filter); got.Events != len(all) || got.Done > 0.5 {
			t.Errorf("%+v, at the beginning: %+v, want %d events", filter, got, len(all))
		}
		if got := lag(end, filter); got.Events != 0 || got.Done < 1 {
			t.Errorf("%+v, caught up: %+v", filter, got)
		}
		if len(all) == 0 {
			continue
		}
		batch, err := b.Store.Feed(t.Context(), "", opts)
		if err != nil {
			t.Fatal(err)
		}
		for n := range len(batch.Events) + 1 {
			if got := lag(batch.Prefix(n), filter); got.Events != len(all)-n || got.Done == 1 && n < len(all) {
				t.Errorf("%+v, behind %d: %+v, want %d events", filter, n, got, len(all)-n)
			}
		}
	}
	if _, err := b.Store.Lag(t.Context(), "x", es.FeedOptions{}); !errors.Is(err, es.ErrCheckpoint) {
		t.Errorf("got error %v, want ErrCheckpoint", err)
	}
	if _, err := b.Store.Lag(t.Context(), "", es.FeedOptions{MaxEvents: -1}); err == nil {
		t.Error("bad options are taken")
	}
}

func testDelivered(t *testing.T, b Backend) {
	const segments = 3
	for n := range 12 {
		mustAppend(t, b.Store, es.StreamID{Category: "law", Key: strconv.Itoa(n % 6)}, es.Any, event(n))
	}
	names := []string{"s0", "s1", "s2"}
	all := readAll(t, b.Store, es.ReadAllOptions{})
	delivered := map[int64]bool{}
	check := func(when string) {
		t.Helper()
		for _, r := range all {
			if got, err := b.Store.Delivered(t.Context(), r.Position, names); got != delivered[r.Position] || err != nil {
				t.Errorf("%s: position %d is delivered %v, %v; want %v", when, r.Position, got, err, delivered[r.Position])
			}
		}
	}
	check("before")
	for segment, name := range names {
		cp, revision := es.Checkpoint(""), int64(0)
		for {
			batch, err := b.Store.Feed(t.Context(), cp, es.FeedOptions{Filter: es.Filter{Segment: segment, Segments: segments}, MaxEvents: 2})
			if err != nil {
				t.Fatal(err)
			}
			if cp = batch.Next; len(batch.Events) == 0 {
				break
			}
			mustSave(t, b, es.Progress{Subscription: name, Revision: revision, Checkpoint: batch.Next})
			revision++
			for _, r := range batch.Events {
				delivered[r.Position] = true
			}
			check(name + " after " + strconv.FormatInt(revision, 10))
		}
	}
	if len(delivered) != len(all) {
		t.Fatalf("%d of %d events delivered", len(delivered), len(all))
	}
	end := slices.MaxFunc(all, func(a, b es.Recorded) int { return int(a.Position - b.Position) })
	next := mustAppend(t, b.Store, stream, es.Any, event(99))
	for position, want := range map[int64]bool{end.Position: true, next.Position: false} {
		if got, err := b.Store.Delivered(t.Context(), position, names); got != want || err != nil {
			t.Errorf("position %d is delivered %v, %v; want %v", position, got, err, want)
		}
		if got, err := b.Store.Delivered(t.Context(), position, []string{"none"}); got || err != nil {
			t.Errorf("position %d is delivered %v to a reader that has not begun, %v", position, got, err)
		}
	}
}
