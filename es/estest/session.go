package estest

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/peatlog/peat/es"
)

var sessionLaws = []law{
	{"a lease is held by one session, until it is released", testLease},
	{"a session gives its leases back when it is closed", testLeaseClose},
	{"a session that is not heard of loses its leases", testLeaseTTL},
	{"a session takes as many leases as it asks for", testLeaseMost},
	{"the members of a group know each other", testMembers},
	{"of sessions at once each lease is held by one", testLeaseRace},
	{"a release wakes the sessions that wait", testWaitRelease},
	{"a request wakes the sessions that wait", testWaitRequest},
	{"a session without news waits for its time", testWaitNothing},
	{"a store hears all that it appends", testOnAppend},
	{"a checkpoint has grown when there is something behind it", testGrown},
}

// patient is how long a test waits for what has to come.
const patient = 30 * time.Second

func open(t *testing.T, b Backend, ttl time.Duration) es.Session {
	t.Helper()
	s, err := b.Store.OpenSession(t.Context(), es.SessionOptions{TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(t.Context()) })
	return s
}

// acquire asks for leases and checks which are given.
func acquire(t *testing.T, s es.Session, leases []string, want ...string) {
	t.Helper()
	got, err := s.Acquire(t.Context(), leases, 100)
	slices.Sort(got)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("error %v, acquired (-want +got):\n%s", err, diff)
	}
}

// renew checks which leases a session holds.
func renew(t *testing.T, s es.Session, want ...string) {
	t.Helper()
	got, err := s.Renew(t.Context())
	slices.Sort(got)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("error %v, held (-want +got):\n%s", err, diff)
	}
}

func release(t *testing.T, s es.Session, leases ...string) {
	t.Helper()
	if err := s.Release(t.Context(), leases); err != nil {
		t.Fatal(err)
	}
}

func testLease(t *testing.T, b Backend) {
	one, two := open(t, b, time.Minute), open(t, b, time.Minute)
	acquire(t, one, []string{"a", "b", "c"}, "a", "b", "c")
	acquire(t, one, []string{"a", "b", "c"}) // it has them
	acquire(t, two, []string{"d", "a", "b", "e"}, "d", "e")
	acquire(t, two, nil)
	renew(t, one, "a", "b", "c")
	renew(t, two, "d", "e")
	release(t, two, "a", "b") // not its own
	acquire(t, two, []string{"a", "b"})
	release(t, one, "b", "none")
	acquire(t, two, []string{"a", "b", "c"}, "b")
	renew(t, one, "a", "c")
	renew(t, two, "b", "d", "e")
	acquire(t, one, []string{"b"})
	if held := reader(t, b, "b").Held; !held {
		t.Error("b is held and its reader says no")
	}
}

func testLeaseMost(t *testing.T, b Backend) {
	one, two := open(t, b, time.Minute), open(t, b, time.Minute)
	ask := func(s es.Session, most int, want ...string) {
		t.Helper()
		got, err := s.Acquire(t.Context(), []string{"a", "b", "c", "d"}, most)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("error %v, acquired (-want +got):\n%s", err, diff)
		}
	}
	ask(one, 0)
	ask(one, 2, "a", "b")
	ask(two, 1, "c") // the first that is free
	ask(one, 9, "d")
	renew(t, one, "a", "b", "d")
}

func testMembers(t *testing.T, b Backend) {
	one, two := open(t, b, time.Minute), open(t, b, time.Minute)
	members := func(s es.Session, groups ...string) [][]int {
		t.Helper()
		got, err := s.Members(t.Context(), groups)
		if err != nil || len(got) != len(groups) {
			t.Fatalf("members of %q: %v, %v", groups, got, err)
		}
		return got
	}
	if got := members(one, "g", "h"); len(got[0]) != 1 || !cmp.Equal(got[0], got[1]) {
		t.Errorf("alone: %v", got)
	}
	if news, err := one.Wait(t.Context(), 0); err != nil {
		t.Fatalf("%+v, %v", news, err)
	}
	both := members(two, "h", "i")
	if len(both[0]) != 2 || len(both[1]) != 1 || both[0][0] == both[0][1] {
		t.Errorf("the second: %v", both)
	}
	if news, err := one.Wait(t.Context(), patient); err != nil || !news.Changed {
		t.Errorf("a new member is no news: %+v, %v", news, err)
	}
	members(two, "h", "i") // again counts once
	if got := members(one, "g", "h", "i"); len(got[0]) != 1 || !cmp.Equal(got[1], both[0]) || len(got[2]) != 2 {
		t.Errorf("the first: %v", got)
	}
	if err := two.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a session is closed and still a member", func() bool { return len(members(one, "h")[0]) == 1 })
}

func testLeaseClose(t *testing.T, b Backend) {
	one, two := open(t, b, time.Hour), open(t, b, time.Hour)
	acquire(t, one, []string{"a", "b"}, "a", "b")
	if err := one.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a session is closed and its leases are not free", func() bool {
		got, err := two.Acquire(t.Context(), []string{"a", "b"}, 100)
		if err != nil {
			t.Fatal(err)
		}
		return len(got) == 2
	})
	renew(t, two, "a", "b")
	if _, err := one.Acquire(t.Context(), []string{"c"}, 100); err == nil {
		t.Error("a session that is closed acquires")
	}
	acquire(t, two, []string{"c"}, "c")
}

// eventually polls until a condition holds, and gives up after a time in which it
// must have come.
func eventually(t *testing.T, otherwise string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patient); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
	}
}

func testLeaseTTL(t *testing.T, b Backend) {
	const ttl = time.Second
	still, renewing, waiting := open(t, b, ttl), open(t, b, ttl), open(t, b, time.Hour)
	acquire(t, renewing, []string{"b"}, "b")
	heard := time.Now()
	acquire(t, still, []string{"a"}, "a")
	for {
		got, err := waiting.Acquire(t.Context(), []string{"a", "b"}, 100)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(got, "b") {
			t.Fatal("a session that renews has lost its lease")
		}
		if len(got) > 0 {
			break
		}
		if time.Since(heard) > patient {
			t.Fatal("a session that is not heard of keeps its lease")
		}
		time.Sleep(ttl / 20)
		renew(t, renewing, "b")
	}
	// Half of it, because its clock need not be this one.
	if held := time.Since(heard); held < ttl/2 {
		t.Errorf("a session with a TTL of %v has lost its lease after %v", ttl, held)
	}
	if held, err := still.Renew(t.Context()); err == nil && len(held) > 0 {
		t.Errorf("the session that has lost its lease holds %v", held)
	}
	renew(t, waiting, "a")
	renew(t, renewing, "b")
}

func testLeaseRace(t *testing.T, b Backend) {
	const sessions, rounds = 8, 20
	leases := []string{"a", "b", "c"}
	holders := map[string]*atomic.Int32{}
	for _, lease := range leases {
		holders[lease] = new(atomic.Int32)
	}
	var all sync.WaitGroup
	var acquired atomic.Int32
	for n := range sessions {
		s := open(t, b, time.Minute)
		all.Go(func() {
			for round := range rounds {
				order := slices.Concat(leases[(n+round)%3:], leases[:(n+round)%3])
				got, err := s.Acquire(t.Context(), order, 100)
				if err != nil {
					t.Error(err)
					return
				}
				for _, lease := range got {
					if holders[lease].Add(1) > 1 {
						t.Errorf("%s is held twice", lease)
					}
					acquired.Add(1)
				}
				if held, err := s.Renew(t.Context()); err != nil || len(held) != len(got) {
					t.Errorf("acquired %v, holds %v, %v", got, held, err)
				}
				for _, lease := range got {
					holders[lease].Add(-1)
				}
				if err := s.Release(t.Context(), got); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if acquired.Load() < int32(len(leases)) {
		t.Errorf("%d leases acquired", acquired.Load())
	}
	acquire(t, open(t, b, time.Minute), leases, leases...)
}

// quiet reads the news that a session has until there is none.
func quiet(t *testing.T, s es.Session) {
	t.Helper()
	for deadline := time.Now().Add(patient); ; {
		news, err := s.Wait(t.Context(), 20*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if news == (es.News{}) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("news without end: %+v", news)
		}
	}
}

// hear waits until a session hears that something was changed.
func hear(t *testing.T, s es.Session, what string) {
	t.Helper()
	for deadline := time.Now().Add(patient); ; {
		news, err := s.Wait(t.Context(), max(0, time.Until(deadline)))
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if news.Changed || err != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: a session has not heard of it", what)
			return
		}
	}
}

// wantHeard checks that two sessions hear of what f does: one that waits already,
// and one that waits afterwards.
func wantHeard(t *testing.T, b Backend, what string, f func()) {
	t.Helper()
	before, after := open(t, b, time.Minute), open(t, b, time.Minute)
	quiet(t, before)
	quiet(t, after)
	var waiting sync.WaitGroup
	waiting.Go(func() { hear(t, before, what) })
	f()
	hear(t, after, what)
	waiting.Wait()
}

func testWaitRelease(t *testing.T, b Backend) {
	s := open(t, b, time.Minute)
	acquire(t, s, []string{"a", "b"}, "a", "b")
	wantHeard(t, b, "release", func() { release(t, s, "a") })
	wantHeard(t, b, "close", func() {
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func testWaitRequest(t *testing.T, b Backend) {
	park(t, b)
	wantHeard(t, b, "redrive", func() {
		if n, err := b.Store.RequestRedrive(t.Context(), stream, "s"); n == 0 || err != nil {
			t.Errorf("asked for %d events, %v", n, err)
		}
	})
	wantHeard(t, b, "discard", func() {
		if err := b.Store.Discard(t.Context(), stream, 1, "eva", "a test", "s"); err != nil {
			t.Error(err)
		}
	})
	wantHeard(t, b, "rebuild", func() {
		if _, err := b.Store.BeginRebuild(t.Context(), "p", 1, false); err != nil {
			t.Error(err)
		}
	})
}

func testWaitNothing(t *testing.T, b Backend) {
	s := open(t, b, time.Minute)
	quiet(t, s)
	const d = 50 * time.Millisecond
	begun := time.Now()
	news, err := s.Wait(t.Context(), d)
	if waited := time.Since(begun); err != nil || news != (es.News{}) || waited < d {
		t.Errorf("waited %v for %+v, %v; want %v and no news", waited, news, err, d)
	}
}

func testOnAppend(t *testing.T, b Backend) {
	var one, two atomic.Int32
	stop := b.Store.OnAppend(func() { one.Add(1) })
	defer b.Store.OnAppend(func() { two.Add(1) })()
	wantCalls := func(what string, want bool, f func()) {
		t.Helper()
		before := one.Load()
		f()
		if !want {
			if n := one.Load() - before; n != 0 {
				t.Errorf("%s: %d calls, want none", what, n)
			}
			return
		}
		eventually(t, what+": no call", func() bool { return one.Load() > before })
	}
	e := event(1)
	wantCalls("append", true, func() { mustAppend(t, b.Store, stream, es.NoStream, e) })
	wantCalls("append again", false, func() { mustAppend(t, b.Store, stream, es.NoStream, e) })
	wantCalls("conflict", false, func() { _, _ = b.Store.Append(t.Context(), stream, es.NoStream, event(2)) })
	wantCalls("progress", false, func() { mustSave(t, b, es.Progress{Subscription: "s"}) })
	inTx := func(result error) {
		err := b.InTx(t.Context(), func(tx es.Tx) error {
			before := one.Load()
			mustAppend(t, tx, other, es.Any, event(3))
			if one.Load() > before {
				t.Error("called before the commit")
			}
			return result
		})
		if err != result { //nolint:errorlint // it must come back as it is
			t.Error(err)
		}
	}
	wantCalls("transaction", true, func() { inTx(nil) })
	wantCalls("transaction rolled back", false, func() { inTx(errRefused) })
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			before := one.Load()
			if _, err := b.Store.Append(t.Context(), es.StreamID{Category: "law", Key: strconv.Itoa(n)}, es.NoStream, event(n)); err != nil {
				t.Error(err)
			}
			eventually(t, "concurrent append: no call", func() bool { return one.Load() > before })
		})
	}
	all.Wait()
	stop()
	before := two.Load()
	wantCalls("stopped", false, func() { mustAppend(t, b.Store, stream, es.Any, event(4)) })
	eventually(t, "the other one: no call", func() bool { return two.Load() > before })
	if one.Load() > two.Load() {
		t.Errorf("%d calls of one, %d of the other", one.Load(), two.Load())
	}
}

func testGrown(t *testing.T, b Backend) {
	s := open(t, b, time.Minute)
	want := func(when string, behind []es.Checkpoint, want ...bool) {
		t.Helper()
		got, err := s.Grown(t.Context(), behind)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%s: error %v, grown (-want +got):\n%s", when, err, diff)
		}
	}
	// What is in flight elsewhere on the server makes a store say that there may be more.
	caughtUp := func(when string, from es.Checkpoint, opts es.FeedOptions) es.Checkpoint {
		t.Helper()
		eventually(t, when, func() bool {
			_, from = follow(t, b.Store, from, opts)
			got, err := s.Grown(t.Context(), []es.Checkpoint{"", from, from})
			if err != nil {
				t.Fatal(err)
			}
			return cmp.Equal(got, []bool{true, false, false})
		})
		return from
	}
	mustAppend(t, b.Store, stream, es.NoStream, event(1))
	for _, horizon := range []es.Horizon{es.Committed, es.Settled} {
		first := caughtUp("caught up", "", es.FeedOptions{Horizon: horizon})
		mustAppend(t, b.Store, stream, es.Any, event(2))
		want("after an append", []es.Checkpoint{first}, true)
		second := caughtUp("caught up again", first, es.FeedOptions{Horizon: horizon})
		want("the one before", []es.Checkpoint{first}, true)
		want("nothing asked", nil)
		caughtUp("caught up by a filter", second, es.FeedOptions{Horizon: horizon, Filter: es.Filter{Types: []string{"law.never"}}})
	}
}
