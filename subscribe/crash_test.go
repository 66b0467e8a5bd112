package subscribe_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
	"github.com/peatlog/peat/internal/pgtest"
	"github.com/peatlog/peat/proptest"
	"github.com/peatlog/peat/subscribe"
)

// crashes is a log on a server of its own that is going to crash. Commits of the
// lazy store are acknowledged before they are on disk, and nothing but a commit of
// the other one brings them there.
type crashes struct {
	pool          *pgxpool.Pool
	store, lazy   *postgres.Store
	durable, easy proptest.Recorder // of the writes through either
	allLazy       atomic.Bool
	stop, over    atomic.Bool
}

func newCrashes(t *testing.T, cluster *pgtest.Cluster) *crashes {
	t.Helper()
	open := func(commit string) (*pgxpool.Pool, *postgres.Store) {
		config, err := pgxpool.ParseConfig(cluster.URL())
		if err != nil {
			t.Fatal(err)
		}
		config.MaxConns = 20
		config.ConnConfig.RuntimeParams["synchronous_commit"] = commit
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		if err := postgres.Migrate(t.Context(), pool, postgres.Options{}); err != nil {
			t.Fatal(err)
		}
		store, err := postgres.Open(t.Context(), pool, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return pool, store
	}
	c := &crashes{}
	c.pool, c.store = open("on")
	_, c.lazy = open("off")
	const sql = `CREATE TABLE delivered (n bigint GENERATED ALWAYS AS IDENTITY, reader text, position bigint, version bigint, stream text, event uuid)`
	if _, err := c.pool.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *crashes) any() *postgres.Store {
	if c.allLazy.Load() || rand.IntN(3) == 0 {
		return c.lazy
	}
	return c.store
}

func (c *crashes) write(ctx context.Context) {
	for !c.stop.Load() {
		store, r := c.any(), &c.durable
		if store == c.lazy {
			r = &c.easy
		}
		if err := hostileTx(ctx, store, r); err != nil && !errors.Is(err, errRollBack) {
			<-time.After(20 * time.Millisecond) // the server is away
		}
	}
}

// read delivers into the table, together with the checkpoint. After any error it
// begins at what is stored.
func (c *crashes) read(ctx context.Context, name string, opts es.FeedOptions) error {
	for !c.over.Load() {
		err := c.readOn(ctx, name, opts)
		for _, fatal := range []error{es.ErrOrderingViolation, es.ErrForeignEpoch, es.ErrCheckpoint, es.ErrStaleCheckpoint} {
			if errors.Is(err, fatal) {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		<-time.After(10 * time.Millisecond) // the server is away
	}
	return nil
}

func (c *crashes) readOn(ctx context.Context, name string, opts es.FeedOptions) error {
	cp, revision, err := c.store.LoadCheckpoint(ctx, name)
	for err == nil && !c.over.Load() {
		var batch es.Batch
		if batch, err = c.store.Feed(ctx, cp, opts); err != nil {
			break
		}
		cp = batch.Next
		if len(batch.Events) == 0 {
			continue
		}
		err = c.any().InTx(ctx, func(tx *postgres.Tx) (err error) {
			rows := pgx.CopyFromSlice(len(batch.Events), func(i int) ([]any, error) {
				e := batch.Events[i]
				return []any{name, e.Position, e.Version, e.Stream.String(), e.ID}, nil
			})
			if _, err = tx.SQL().CopyFrom(ctx, pgx.Identifier{"delivered"}, []string{"reader", "position", "version", "stream", "event"}, rows); err == nil {
				err = tx.SaveProgress(ctx, es.Progress{Subscription: name, Revision: revision, Checkpoint: batch.Next})
			}
			return err
		})
		revision++
	}
	return err
}

// latest returns the ids of the last events of the log.
func (c *crashes) latest(t *testing.T) []uuid.UUID {
	t.Helper()
	return c.ids(t, "SELECT event_id FROM peat.events ORDER BY global_position DESC LIMIT 50")
}

func (c *crashes) ids(t *testing.T, sql string, args ...any) (ids []uuid.UUID) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		var rows pgx.Rows // connections from before the crash fail once each
		if rows, err = c.pool.Query(t.Context(), sql, args...); err == nil {
			if ids, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID]); err == nil {
				return ids
			}
		}
	}
	t.Fatal(err)
	return nil
}

// follow is a subscription that checkpoints now and then: at least once.
func (c *crashes) follow(ctx context.Context, sub *subscribe.Subscription, f *proptest.Following) {
	for poll := 0; ; poll++ {
		over := c.over.Load()
		events, err := sub.Poll(ctx)
		if err == nil && poll%40 == 0 {
			err = sub.Checkpoint(ctx)
		}
		f.Delivered(events...)
		if err != nil {
			<-time.After(10 * time.Millisecond) // the server is away
		} else if over && len(events) == 0 {
			return
		}
	}
}

func TestCrashes(t *testing.T) {
	t.Parallel()
	cluster := pgtest.NewCluster(t, pgtest.Options{Settings: map[string]string{
		"wal_writer_delay": "10s", "wal_writer_flush_after": "1GB", "wal_buffers": "32MB", "bgwriter_lru_maxpages": "0", "autovacuum": "off",
	}})
	c := newCrashes(t, cluster)
	readers := map[string]es.FeedOptions{
		"committed 500": {}, "committed 7": {MaxEvents: 7}, "settled 7": {Horizon: es.Settled, MaxEvents: 7},
	}
	ctx := context.WithoutCancel(t.Context())
	var reading, writing sync.WaitGroup
	for name, opts := range readers {
		reading.Go(func() {
			if err := c.read(ctx, name, opts); err != nil {
				t.Error(err)
			}
		})
	}
	sub, err := subscribe.New(c.lazy, "subscription", subscribe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	followed := c.durable.Follow(proptest.Follower{Name: "subscription", Guarantee: proptest.AtLeastOnce})
	reading.Go(func() { c.follow(ctx, sub, followed) })
	for range 10 {
		writing.Go(func() { c.write(ctx) })
	}
	lost := 0
	for range 6 {
		<-time.After(time.Second) // of load
		c.allLazy.Store(true)
		<-time.After(300 * time.Millisecond)
		before := c.latest(t)
		cluster.Stop(t, pgtest.Immediate)
		c.allLazy.Store(false)
		cluster.Start(t)
		lost += len(before) - len(c.ids(t, "SELECT event_id FROM peat.events WHERE event_id = ANY ($1)", before))
	}
	c.stop.Store(true)
	writing.Wait()
	c.await(t, len(readers))
	c.over.Store(true)
	reading.Wait()
	// How much is up to the machine; TestCrashBetweenTwoPollsIsNoticed loses for certain.
	t.Logf("the crashes took back %d acknowledged commits", lost)
	c.check(t, readers)
	t.Logf("%d of the last 50 events before each crash lost", lost)
}

// await waits until all that is in the log may be delivered.
func (c *crashes) await(t *testing.T, readers int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		var left int
		err := c.pool.QueryRow(t.Context(), "SELECT $1 * (SELECT count(*) FROM peat.events) - (SELECT count(*) FROM delivered)", readers).Scan(&left)
		if err == nil && left <= 0 {
			return
		}
	}
}

// check compares what was acknowledged and what each reader delivered with the log. The
// log may lack whole writes of the lazy store that nobody has made durable.
func (c *crashes) check(t *testing.T, readers map[string]es.FeedOptions) {
	t.Helper()
	inLog := map[uuid.UUID]bool{}
	for _, id := range c.ids(t, "SELECT event_id FROM peat.events") {
		inLog[id] = true
	}
	takenBack := 0
	for _, w := range c.easy.History().Writes {
		lacks := func(e proptest.Event) bool { return !inLog[e.ID] }
		if w.Outcome != proptest.Failed && !slices.ContainsFunc(w.Events, func(e proptest.Event) bool { return !lacks(e) }) {
			w.Outcome = proptest.TakenBack
			takenBack++
		}
		c.durable.Wrote(w)
	}
	for name, opts := range readers {
		f := c.durable.Follow(proptest.Follower{Name: name, RealTime: opts.Horizon == es.Committed})
		rows, err := c.pool.Query(t.Context(), "SELECT event, stream, version, position FROM delivered WHERE reader = $1 ORDER BY n", name)
		if err != nil {
			t.Fatal(err)
		}
		var e es.Recorded
		var stream string
		_, err = pgx.ForEachRow(rows, []any{&e.ID, &stream, &e.Version, &e.Position}, func() (err error) {
			e.Stream, err = es.ParseStreamID(stream)
			f.Delivered(e)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	settle(t, &c.durable, c.store)
	t.Logf("%d writes, of which the crashes took %d back", len(c.durable.History().Writes), takenBack)
}

func TestTwoHoldersOfOneName(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	one, two := subscription(t, log, subscribe.Options{BatchEvents: 2}), subscription(t, log, subscribe.Options{BatchEvents: 3})
	mustAppend(t, log.Store, streamS, es.NoStream, marked("v"), marked("v"), marked("v"), marked("v"))
	wantPlaces(t, mustPoll(t, one), "s@1", "s@2")
	wantPlaces(t, mustPoll(t, two), "s@1", "s@2", "s@3")
	mustEnd(t, two.Checkpoint)
	stored := func() (cp es.Checkpoint) {
		t.Helper()
		cp, _, err := log.Store.LoadCheckpoint(t.Context(), "sub")
		if err != nil {
			t.Fatal(err)
		}
		return cp
	}
	before := stored()
	err := one.Checkpoint(t.Context())
	stale, ok := errors.AsType[*es.StaleCheckpointError](err)
	if !ok || !errors.Is(err, es.ErrStaleCheckpoint) {
		t.Fatalf("got %v, want a StaleCheckpointError", err)
	}
	if diff := cmp.Diff(es.StaleCheckpointError{Subscription: "sub", Revision: 0}, *stale); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, stored()); diff != "" {
		t.Errorf("overwritten (-before +after):\n%s", diff)
	}
	wantPlaces(t, mustPoll(t, one), "s@4")
	mustEnd(t, one.Checkpoint)
}

func TestCheckpointOfAnotherHorizonIsRefused(t *testing.T) {
	t.Parallel()
	eachHorizon(t, func(t *testing.T, log *backends.Postgres, horizon es.Horizon) {
		mustAppend(t, log.Store, streamS, es.NoStream, marked("v1"))
		sub := subscription(t, log, subscribe.Options{Horizon: horizon})
		collect(t, sub, 1)
		mustEnd(t, sub.Checkpoint)
		other := subscription(t, log, subscribe.Options{Horizon: es.Committed + es.Settled - horizon})
		if events, err := other.Poll(t.Context()); !errors.Is(err, es.ErrCheckpoint) || len(events) > 0 {
			t.Errorf("delivered %v, error %v; want ErrCheckpoint", places(events), err)
		}
	})
}

func TestLostConnectionReloadsTheStoredCheckpoint(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	pool := pgtest.NewPool(t, func(c *pgxpool.Config) { c.MaxConns = 1 })
	store, err := postgres.Open(t.Context(), pool, log.Options)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := subscribe.New(store, "sub", subscribe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, log.Store, streamS, es.NoStream, marked("v1"))
	wantPlaces(t, mustPoll(t, sub), "s@1")
	mustEnd(t, sub.Checkpoint)
	mustAppend(t, log.Store, streamS, es.Exact(1), marked("v2"))
	wantPlaces(t, mustPoll(t, sub), "s@2")
	var pid int
	if err := pool.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Pool.Exec(t.Context(), "SELECT pg_terminate_backend($1, 10000)", pid); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, log.Store, streamS, es.Exact(2), marked("v3"))
	events, err := sub.Poll(t.Context())
	if err != nil {
		events = mustPoll(t, sub)
	}
	wantPlaces(t, events, "s@2", "s@3")
}

// countedConn counts what is sent. What goes out in one write is one round trip.
type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countedConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

func TestIdlePollTakesNoTransactionID(t *testing.T) {
	t.Parallel()
	// A server of its own, where nobody else takes ids.
	cluster := pgtest.NewCluster(t, pgtest.Options{Settings: map[string]string{"autovacuum": "off"}})
	config, err := pgxpool.ParseConfig(cluster.URL())
	if err != nil {
		t.Fatal(err)
	}
	var writes atomic.Int64
	dial := config.ConnConfig.DialFunc
	config.MaxConns = 1
	config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return countedConn{conn, &writes}, err
	}
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := postgres.Migrate(t.Context(), pool, postgres.Options{}); err != nil {
		t.Fatal(err)
	}
	store, err := postgres.Open(t.Context(), pool, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	nextID := func() (id int64) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), "SELECT age('3'::xid)::bigint + 3").Scan(&id); err != nil {
			t.Fatal(err)
		}
		return id
	}
	mustAppend(t, store, streamS, es.NoStream, marked("v1"))
	for _, horizon := range horizons {
		sub, err := subscribe.New(store, horizon.String(), subscribe.Options{Horizon: horizon})
		if err != nil {
			t.Fatal(err)
		}
		wantPlaces(t, mustPoll(t, sub), "s@1")
		wantNone(t, sub)
		id, sent := nextID(), writes.Load()
		for range 100 {
			wantNone(t, sub)
		}
		if n := writes.Load() - sent; n != 100 {
			t.Errorf("%v: %d round trips for 100 idle polls", horizon, n)
		}
		if n := nextID() - id; n != 0 {
			t.Errorf("%v: %d transaction ids for 100 idle polls", horizon, n)
		}
	}
}
