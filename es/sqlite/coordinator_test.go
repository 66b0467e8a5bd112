package sqlite_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
)

func openSession(t *testing.T, s *sqlite.Store, ttl time.Duration) es.Session {
	t.Helper()
	session, err := s.OpenSession(t.Context(), es.SessionOptions{TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // within its bubble, if it is in one
		if err := session.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return session
}

func acquired(t *testing.T, s es.Session, lease string) bool {
	t.Helper()
	got, err := s.Acquire(t.Context(), []string{lease}, 100)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(got, lease)
}

// A lease lasts exactly its TTL from the last call of its session, whatever the call.
func TestLeaseLastsItsTTL(t *testing.T) {
	t.Parallel()
	s := openStore(t, tempFile(t), sqlite.Options{})
	for name, hear := range map[string]func(es.Session) error{
		"renew":   func(p es.Session) error { _, err := p.Renew(t.Context()); return err },
		"acquire": func(p es.Session) error { _, err := p.Acquire(t.Context(), nil, 1); return err },
		"release": func(p es.Session) error { return p.Release(t.Context(), nil) },
		"wait":    func(p es.Session) error { _, err := p.Wait(t.Context(), 0); return err },
		"grown":   func(p es.Session) error { _, err := p.Grown(t.Context(), nil); return err },
	} {
		for given, ttl := range map[time.Duration]time.Duration{0: 15 * time.Second, time.Minute: time.Minute} {
			synctest.Test(t, func(t *testing.T) {
				holder, other := openSession(t, s, given), openSession(t, s, time.Hour)
				if !acquired(t, holder, "a") {
					t.Fatal("not acquired")
				}
				for range 3 {
					time.Sleep(ttl - 1)
					if err := hear(holder); err != nil {
						t.Fatal(err)
					}
					if acquired(t, other, "a") {
						t.Fatalf("%s does not count as being heard of", name)
					}
				}
				time.Sleep(ttl - 1)
				if acquired(t, other, "a") {
					t.Errorf("%s: lost before its TTL of %v", name, ttl)
				}
				time.Sleep(1 * time.Nanosecond)
				if readers, err := s.Readers(t.Context(), "a"); err != nil || readers[0].Held {
					t.Errorf("%s: a lease whose time is up counts as held, %v", name, err)
				}
				if !acquired(t, other, "a") {
					t.Errorf("%s: kept after its TTL of %v", name, ttl)
				}
			})
		}
	}
}

func TestLeaseThatNobodyAsksForOutlivesItsTTL(t *testing.T) {
	t.Parallel()
	s := openStore(t, tempFile(t), sqlite.Options{})
	synctest.Test(t, func(t *testing.T) {
		holder, other := openSession(t, s, time.Second), openSession(t, s, time.Second)
		acquired(t, holder, "a")
		time.Sleep(time.Hour)
		if held, err := holder.Renew(t.Context()); len(held) != 1 || err != nil {
			t.Errorf("holds %v, %v", held, err)
		}
		if acquired(t, other, "a") {
			t.Error("acquired by another one although it was renewed")
		}
	})
}

// The leases are the store's own; what keeps two holders apart is the revision.
func TestLeasesAreOfOneStoreAndClaimsOfTheFile(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	var revisions []int64
	for range 2 {
		s := openStore(t, path, sqlite.Options{})
		if !acquired(t, openSession(t, s, time.Minute), "a") {
			t.Error("another store's lease counts")
		}
		_, revision, err := s.ClaimCheckpoint(t.Context(), "a", "")
		if err != nil {
			t.Fatal(err)
		}
		revisions = append(revisions, revision)
	}
	s := openStore(t, path, sqlite.Options{})
	for i, revision := range revisions {
		err := s.SaveProgress(t.Context(), es.Progress{Subscription: "a", Revision: revision})
		if stale := errors.Is(err, es.ErrStaleCheckpoint); stale != (i == 0) {
			t.Errorf("holder %d: error %v", i, err)
		}
	}
}

func TestSessionsEndWithTheirStore(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		session, other := openSession(t, s, time.Minute), openSession(t, s, time.Minute)
		begun, waiting := time.Now(), make(chan error, 1)
		go func() {
			_, err := other.Wait(t.Context(), time.Hour)
			waiting <- err
		}()
		synctest.Wait() // until it does
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		calls := map[string]func() error{
			"wait":    func() error { return <-waiting },
			"open":    func() error { _, err := s.OpenSession(t.Context(), es.SessionOptions{}); return err },
			"acquire": func() error { _, err := session.Acquire(t.Context(), []string{"a"}, 1); return err },
			"release": func() error { return session.Release(t.Context(), []string{"a"}) },
			"renew":   func() error { _, err := session.Renew(t.Context()); return err },
			"grown":   func() error { _, err := session.Grown(t.Context(), nil); return err },
		}
		for name, call := range calls {
			if err := call(); !errors.Is(err, sqlite.ErrClosed) {
				t.Errorf("%s: got error %v, want ErrClosed", name, err)
			}
		}
		if waited := time.Since(begun); waited > time.Minute {
			t.Errorf("waited %v although the store was closed", waited)
		}
		if err := session.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := openStore(t, tempFile(t), sqlite.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if news, err := openSession(t, s, time.Minute).Wait(ctx, time.Hour); news != (es.News{}) || err != nil {
		t.Errorf("%+v, %v; the end of the context is no error", news, err)
	}
}

// A checkpoint that the feed refuses is no error of the session, which has others to
// look after, and is not taken for one that is caught up.
func TestGrownLeavesBadCheckpointsToTheFeed(t *testing.T) {
	t.Parallel()
	s := openStore(t, tempFile(t), sqlite.Options{})
	mustAppend(t, s, streamA, es.NoStream, noted())
	got, err := openSession(t, s, time.Minute).Grown(t.Context(), []es.Checkpoint{"x", `{"v":1,"position":9}`, `{"v":1,"position":1}`})
	if err != nil || !slices.Equal(got, []bool{true, true, false}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// Appends that go past the store are heard of when somebody says so.
func TestWakeCallsTheListeners(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s, other := openStore(t, path, sqlite.Options{}), openStore(t, path, sqlite.Options{})
	var calls atomic.Int32
	stop := s.OnAppend(func() { calls.Add(1) })
	mustAppend(t, other, streamA, es.NoStream, noted())
	if n := calls.Load(); n != 0 {
		t.Errorf("%d calls for another store's append", n)
	}
	s.Wake()
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
	stop()
	stop()
	s.Wake()
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls after the stop, want 1", n)
	}
}
