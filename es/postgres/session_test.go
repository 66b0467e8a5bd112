package postgres_test

import (
	"context"
	neturl "net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
)

func openSession(t *testing.T, s *postgres.Store, ttl time.Duration) es.Session {
	t.Helper()
	session, err := s.OpenSession(t.Context(), es.SessionOptions{TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close(context.Background()) }) //nolint:errcheck // some tests have broken it
	return session
}

// another opens the same log once more, as another process does.
func another(t *testing.T, log *backends.Postgres, opts postgres.Options) *postgres.Store {
	t.Helper()
	opts.Schema = log.Options.Schema
	store, err := postgres.Open(t.Context(), log.Pool, opts)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func acquire(t *testing.T, s es.Session, want []string, leases ...string) {
	t.Helper()
	got, err := s.Acquire(t.Context(), leases, 100)
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("acquired %q of %q, %v; want %q", got, leases, err, want)
	}
}

// acquireSoon waits until a lease is free.
func acquireSoon(t *testing.T, s es.Session, lease string, within time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		got, err := s.Acquire(t.Context(), []string{lease}, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not free after %v", lease, within)
		}
		if _, err := s.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// sessionPID returns the process of the session that holds a lease.
func sessionPID(t *testing.T, log *backends.Postgres, lease string) (pid int) {
	t.Helper()
	err := log.Pool.QueryRow(t.Context(), "SELECT pid FROM "+log.Table("held_leases")+" WHERE key = "+log.Table("lease_key")+"($1, $2)", log.Options.Schema, lease).Scan(&pid)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestLeaseIsHeldByOneSession(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	other := backends.NewPostgres(t)
	one, two := openSession(t, log.Store, 0), openSession(t, log.Store, 0)
	elsewhere := openSession(t, other.Store, 0)
	acquire(t, one, []string{"a", "b"}, "a", "b", "a")
	acquire(t, one, nil, "a", "b")
	acquire(t, two, []string{"c"}, "a", "b", "c")
	acquire(t, elsewhere, []string{"a"}, "a") // leases belong to a schema
	if held, err := one.Renew(t.Context()); err != nil || !slices.Equal(held, []string{"a", "b"}) {
		t.Errorf("renewed %q, %v", held, err)
	}
	if err := one.Release(t.Context(), []string{"a", "c"}); err != nil {
		t.Error(err)
	}
	if held, err := one.Renew(t.Context()); err != nil || !slices.Equal(held, []string{"b"}) {
		t.Errorf("renewed %q, %v", held, err)
	}
	acquire(t, two, []string{"a"}, "a", "b") // once given back, although it was asked for twice
	if err := two.Close(t.Context()); err != nil {
		t.Error(err)
	}
	acquire(t, one, []string{"a", "c"}, "a", "c")
}

func TestReadersTellWhoHoldsALease(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	_, revision, err := log.Store.ClaimCheckpoint(t.Context(), "a", "host 1")
	if err != nil {
		t.Fatal(err)
	}
	acquire(t, openSession(t, log.Store, 0), []string{"a"}, "a")
	p := es.Progress{Subscription: "a", Revision: revision, Checkpoint: `{}`, Park: []es.Failure{{Position: 1, Stream: streamA, Version: 1, Attempts: 1}}}
	if err := log.Store.SaveProgress(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	for rev, reason := range map[int64]string{revision: "overtaken", revision + 1: "broken"} {
		if err := log.Store.RecordFailure(t.Context(), "a", rev, reason); err != nil {
			t.Error(err)
		}
	}
	readers, err := log.Store.Readers(t.Context(), "b", "a")
	if err != nil || len(readers) != 2 {
		t.Fatalf("%+v, %v", readers, err)
	}
	if readers[0] != (es.Reader{}) {
		t.Errorf("one that has none: %+v", readers[0])
	}
	r := readers[1]
	if r.Checkpoint != `{}` || r.Revision != revision+1 || r.Holder != "host 1" || !r.Held || r.Error != "broken" || r.Parked != 1 ||
		time.Since(r.ClaimedAt) > time.Minute || r.UpdatedAt.Before(r.ClaimedAt) {
		t.Errorf("%+v", r)
	}
	p.Revision++
	if err := log.Store.SaveProgress(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if readers, err := log.Store.Readers(t.Context(), "a"); err != nil || readers[0].Error != "" {
		t.Errorf("after progress: %+v, %v", readers, err)
	}
}

func TestKilledSessionFreesItsLeasesAtOnceAndNoticesIt(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	one, two := openSession(t, log.Store, time.Minute), openSession(t, log.Store, time.Minute)
	acquire(t, one, []string{"a"}, "a")
	exec(t, log, "SELECT pg_terminate_backend($1, 5000)", sessionPID(t, log, "a"))
	acquire(t, two, []string{"a"}, "a")
	if held, err := one.Renew(t.Context()); err == nil {
		t.Errorf("the killed session holds %q", held)
	}
	if _, err := one.Wait(t.Context(), time.Second); err == nil {
		t.Error("the killed session waits")
	}
}

// A session whose locks are gone, or that another connection answers for, says so and
// names the remedy.
func TestRenewNoticesAStolenLease(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	session := openSession(t, log.Store, time.Minute)
	acquire(t, session, []string{"a", "b"}, "a", "b")
	postgres.OnConnection(session, func(conn *pgx.Conn) {
		if _, err := conn.Exec(t.Context(), "SELECT pg_advisory_unlock("+log.Table("lease_key")+"($1, 'a'))", log.Options.Schema); err != nil {
			t.Fatal(err)
		}
	})
	if held, err := session.Renew(t.Context()); err == nil || !strings.Contains(err.Error(), "Options.SessionURL") {
		t.Errorf("renewed %q, %v; want an error that names the remedy", held, err)
	}
}

// The server ends a session that stands still, on its own clock, although its
// connection is in order; one that renews lives on.
func TestSilentSessionIsEndedByTheServer(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	var version int
	if err := log.Pool.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		t.Fatal(err)
	}
	if version < 140000 {
		t.Skip("before PostgreSQL 14 a server does not end idle sessions")
	}
	silent, heard := openSession(t, log.Store, time.Second), openSession(t, log.Store, time.Second)
	acquire(t, silent, []string{"a"}, "a")
	acquire(t, heard, []string{"b"}, "a", "b")
	began := time.Now()
	acquireSoon(t, heard, "a", 10*time.Second)
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("free after %v, before the TTL", took)
	}
	if held, err := heard.Renew(t.Context()); err != nil || len(held) != 2 {
		t.Errorf("renewed %q, %v", held, err)
	}
	if held, err := silent.Renew(t.Context()); err == nil {
		t.Errorf("the silent session holds %q", held)
	}
}

func TestReleaseWakesOtherSessions(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	for name, release := range map[string]func(s es.Session) error{
		"release": func(s es.Session) error { return s.Release(t.Context(), []string{"a"}) },
		"close":   func(s es.Session) error { return s.Close(t.Context()) },
	} {
		one, two := openSession(t, log.Store, 0), openSession(t, log.Store, 0)
		acquire(t, one, []string{"a"}, "a")
		released := make(chan error, 1)
		go func() { released <- release(one) }()
		news, err := two.Wait(t.Context(), 10*time.Second)
		if err != nil || news != (es.News{Changed: true}) {
			t.Errorf("%s: %+v, %v", name, news, err)
		}
		if err := <-released; err != nil {
			t.Error(err)
		}
		acquire(t, two, []string{"a"}, "a")
		if err := two.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// Waiting that ends by its deadline, with its context, or with nothing to wait for,
// leaves the session in order.
func TestWaitEndsByItsDeadline(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	session := openSession(t, log.Store, 0)
	acquire(t, session, []string{"a"}, "a")
	for _, d := range []time.Duration{0, time.Millisecond, 30 * time.Millisecond, -1} {
		began := time.Now()
		if news, err := session.Wait(t.Context(), d); news != (es.News{}) || err != nil || time.Since(began) < d {
			t.Errorf("waited %v of %v: %+v, %v", time.Since(began), d, news, err)
		}
		if held, err := session.Renew(t.Context()); err != nil || len(held) != 1 {
			t.Fatalf("renewed %q, %v", held, err)
		}
	}
	for _, after := range []time.Duration{-1, 30 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		if news, err := session.Wait(ctx, time.Minute); news != (es.News{}) || err != nil {
			t.Errorf("waited with a context that ends: %+v, %v", news, err)
		}
		cancel()
		if held, err := session.Renew(t.Context()); err != nil || len(held) != 1 {
			t.Fatalf("renewed %q, %v", held, err)
		}
	}
}

func TestTwoStoresHearEachOther(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	quiet := another(t, log, postgres.Options{Silent: true})
	other := another(t, log, postgres.Options{})
	session := openSession(t, log.Store, time.Minute)
	var called atomic.Int64
	stop := log.Store.OnAppend(func() { called.Add(1) })
	wait := func(d time.Duration, want es.News) {
		t.Helper()
		if news, err := session.Wait(t.Context(), d); err != nil || news != want {
			t.Errorf("heard %+v, %v; want %+v", news, err, want)
		}
	}
	if _, err := other.Append(t.Context(), streamA, es.Any, noted()); err != nil {
		t.Fatal(err)
	}
	wait(10*time.Second, es.News{Appended: true})
	err := other.InTx(t.Context(), func(tx *postgres.Tx) error {
		_, err := tx.Append(t.Context(), streamA, es.Any, noted())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wait(10*time.Second, es.News{Appended: true})
	if called.Load() != 0 {
		t.Error("what another store appends is heard by sessions, not by OnAppend")
	}
	// The own store is heard by OnAppend only, a silent one not at all, and neither is
	// what appends nothing.
	e := noted()
	e.ID = [16]byte{15: 1}
	for range 2 {
		if _, err := log.Store.Append(t.Context(), streamB, es.NoStream, e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Append(t.Context(), streamB, es.Exact(7), noted()); err == nil {
		t.Fatal("no conflict")
	}
	if _, err := quiet.Append(t.Context(), streamB, es.Any, noted()); err != nil {
		t.Fatal(err)
	}
	wait(100*time.Millisecond, es.News{})
	if n := called.Load(); n != 1 {
		t.Errorf("called %d times, want once", n)
	}
	stop()
	log.Store.Wake()
	if n := called.Load(); n != 1 {
		t.Error("called after stop")
	}
	other.Wake()
	wait(10*time.Second, es.News{Appended: true})
	if _, err := log.Store.RequestRedrive(t.Context(), es.StreamID{}, "s"); err != nil {
		t.Fatal(err)
	}
	wait(10*time.Second, es.News{Changed: true})
}

// A burst of appends gives few notifications, and one after the last of them.
func TestAppendsAreNotifiedSparinglyAndNeverForgotten(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	other := another(t, log, postgres.Options{})
	conn, err := log.Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), "LISTEN "+pgx.Identifier{"peat " + log.Options.Schema}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	const writers, each = 6, 500
	began := time.Now()
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for range each {
				if _, err := other.Append(t.Context(), es.StreamID{Category: "burst", Key: strconv.Itoa(w)}, es.Any, noted()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	seen, notifications := make(chan int), 0
	go func() { // what a listener finds in the log when it hears of something
		for n := 0; n < writers*each; {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			_, err := conn.Conn().WaitForNotification(ctx)
			cancel()
			if err != nil {
				t.Errorf("heard nothing after event %d: %v", n, err)
				break
			}
			notifications++
			if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM "+log.Table("events")).Scan(&n); err != nil {
				t.Error(err)
				break
			}
		}
		close(seen)
	}()
	all.Wait()
	<-seen
	if most := int(time.Since(began)/(10*time.Millisecond)) + 2; notifications > most {
		t.Errorf("%d notifications in %v, want at most %d", notifications, time.Since(began), most)
	}
	t.Logf("%d notifications in %v", notifications, time.Since(began))
}

// Holding leases, renewing them, waiting, and looking for new events write nothing.
func TestIdleSessionTakesNoTransactionID(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	if _, err := log.Store.Append(t.Context(), streamA, es.Any, noted()); err != nil {
		t.Fatal(err)
	}
	_, cp := feedAll(t, log.Store, "", es.FeedOptions{})
	session := openSession(t, log.Store, time.Minute)
	acquire(t, session, []string{"a", "b"}, "a", "b")
	postgres.OnConnection(session, func(conn *pgx.Conn) {
		if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
			t.Fatal(err)
		}
	})
	if held, err := session.Renew(t.Context()); err != nil || len(held) != 2 {
		t.Errorf("renewed %q, %v", held, err)
	}
	if _, err := session.Wait(t.Context(), time.Millisecond); err != nil {
		t.Error(err)
	}
	if _, err := session.Grown(t.Context(), []es.Checkpoint{"", cp}); err != nil {
		t.Error(err)
	}
	acquire(t, session, []string{"c"}, "c")
	postgres.OnConnection(session, func(conn *pgx.Conn) { // still in the same transaction
		var xid *string
		if err := conn.QueryRow(t.Context(), "SELECT pg_current_xact_id_if_assigned()::text").Scan(&xid); err != nil || xid != nil {
			t.Errorf("transaction id %v, %v", xid, err)
		}
		if _, err := conn.Exec(t.Context(), "COMMIT"); err != nil {
			t.Error(err)
		}
	})
}

func TestGrown(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	session := openSession(t, log.Store, time.Minute)
	grown := func(want bool, cps ...es.Checkpoint) {
		t.Helper()
		got, err := session.Grown(t.Context(), cps)
		if err != nil || len(got) != len(cps) || slices.Contains(got, !want) {
			t.Errorf("grown %v, %v; want all %v", got, err, want)
		}
	}
	grown(false, "")
	grown(true, "rubbish")
	if _, err := log.Store.Append(t.Context(), streamA, es.Any, noted(), noted()); err != nil {
		t.Fatal(err)
	}
	grown(true, "")
	first, err := log.Store.Feed(t.Context(), "", es.FeedOptions{MaxEvents: 1})
	if err != nil {
		t.Fatal(err)
	}
	grown(true, first.Next)
	_, cp := feedAll(t, log.Store, first.Next, es.FeedOptions{})
	_, settled := feedAll(t, log.Store, "", es.FeedOptions{Horizon: es.Settled})
	if _, err := log.Store.Append(t.Context(), streamA, es.Any, noted()); err != nil {
		t.Fatal(err)
	}
	grown(true, cp, settled)
}

// feedAll reads the feed until nothing comes.
func feedAll(t *testing.T, s es.Feed, cp es.Checkpoint, opts es.FeedOptions) (events []es.Recorded, next es.Checkpoint) {
	t.Helper()
	for {
		b, err := s.Feed(t.Context(), cp, opts)
		if err != nil {
			t.Fatal(err)
		}
		if events, cp = append(events, b.Events...), b.Next; !b.Moved {
			return events, cp
		}
	}
}

// A session connects as the pool does, hooks included, or as it is told.
func TestSessionConnectsAsThePool(t *testing.T) {
	t.Parallel()
	var before, after atomic.Int64
	log := backends.NewPostgres(t, func(c *pgxpool.Config) {
		c.BeforeConnect = func(context.Context, *pgx.ConnConfig) error { before.Add(1); return nil }
		c.AfterConnect = func(context.Context, *pgx.Conn) error { after.Add(1); return nil }
	})
	b, a := before.Load(), after.Load()
	session := openSession(t, log.Store, 0)
	if before.Load() != b+1 || after.Load() != a+1 {
		t.Errorf("%d and %d calls of the hooks, want one each", before.Load()-b, after.Load()-a)
	}
	postgres.OnConnection(session, func(conn *pgx.Conn) {
		var name string
		if err := conn.QueryRow(t.Context(), "SHOW application_name").Scan(&name); err != nil || !strings.HasSuffix(name, "peat session") {
			t.Errorf("application_name is %q, %v", name, err)
		}
	})
	url := log.Pool.Config().ConnString() + " application_name=direct"
	if u, err := neturl.Parse(log.Pool.Config().ConnString()); err == nil && u.Scheme != "" {
		q := u.Query()
		q.Set("application_name", "direct")
		u.RawQuery = q.Encode()
		url = u.String()
	}
	direct := another(t, log, postgres.Options{SessionURL: url})
	postgres.OnConnection(openSession(t, direct, 0), func(conn *pgx.Conn) {
		var name string
		if err := conn.QueryRow(t.Context(), "SHOW application_name").Scan(&name); err != nil || name != "direct peat session" {
			t.Errorf("application_name is %q, %v", name, err)
		}
	})
	unreachable := another(t, log, postgres.Options{SessionURL: "host=/nowhere"})
	if _, err := unreachable.OpenSession(t.Context(), es.SessionOptions{}); err == nil {
		t.Error("the SessionURL is not used")
	}
	if _, err := postgres.Open(t.Context(), log.Pool, postgres.Options{SessionURL: "port=x"}); err == nil || !strings.Contains(err.Error(), "SessionURL") {
		t.Errorf("got error %v, want one that names SessionURL", err)
	}
}
