package subscribe_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
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
	"github.com/peatlog/peat/internal/pgtest"
	"github.com/peatlog/peat/proptest"
	"github.com/peatlog/peat/subscribe"
)

// process opens a log once more, on a pool of its own, as another process does. Its
// connections have the name in their application_name, and "peat session" behind it.
func process(t *testing.T, log *backends.Postgres, name string, conns int32) (*postgres.Store, *pgxpool.Pool) {
	t.Helper()
	pool := pgtest.NewPool(t, func(c *pgxpool.Config) {
		c.MaxConns = conns
		c.ConnConfig.RuntimeParams["application_name"] = name
	})
	store, err := postgres.Open(t.Context(), pool, log.Options)
	if err != nil {
		t.Fatal(err)
	}
	return store, pool
}

// unique returns a name for the processes of one test, to tell their connections from
// those of tests beside it.
func unique() string { return fmt.Sprintf("replica %08x", rand.Uint32()) }

// kill ends up to n of the backends whose application_name is like a pattern.
func kill(t *testing.T, log *backends.Postgres, like string, n int) (killed int) {
	t.Helper()
	const sql = `SELECT count(pg_terminate_backend(pid)) FROM
    (SELECT pid FROM pg_stat_activity WHERE application_name LIKE $1 ORDER BY random() LIMIT $2) picked`
	if err := log.Pool.QueryRow(t.Context(), sql, like, n).Scan(&killed); err != nil {
		t.Fatal(err)
	}
	return killed
}

// count counts the backends whose application_name is like a pattern.
func count(t *testing.T, log *backends.Postgres, like string) (n int) {
	t.Helper()
	if err := log.Pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE $1", like).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// journal is a log that can be searched.
type journal struct {
	t  *testing.T
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.b.Write(p)
	return j.t.Output().Write(p)
}

// count tells how often the log says something.
func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.b.String(), text)
}

func (j *journal) has(text string) bool { return j.count(text) > 0 }

// watched are the options of a quick runner whose log and leases the test looks at.
type watched struct {
	subscribe.RunnerOptions
	journal *journal
	leases
}

// leases is a tracer that counts how often work was begun and ended.
type leases struct{ begun, ended atomic.Int64 }

func (l *leases) TraceLease(_ context.Context, _ string, held bool) {
	if held {
		l.begun.Add(1)
	} else {
		l.ended.Add(1)
	}
}

func watch(t *testing.T) *watched {
	w := &watched{RunnerOptions: quick(t), journal: &journal{t: t}}
	w.Logger = slog.New(slog.NewTextHandler(w.journal, nil))
	w.Tracers.Lease = &w.leases
	return w
}

func (w *watched) runner(t *testing.T, store subscribe.RunnerStore, consumers ...subscribe.Consumer) *subscribe.Runner {
	t.Helper()
	r, err := subscribe.NewRunner(store, w.RunnerOptions, consumers...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tally is a read model that keeps a history: a row per event that took effect, and one
// per stream, with its number of events, that handlers of the same stream contend for.
type tally struct {
	log  *backends.Postgres
	name string
}

func newTally(t *testing.T, log *backends.Postgres, name string) tally {
	t.Helper()
	y := tally{log, name}
	sql := strings.NewReplacer("{streams}", y.streams(), "{effects}", y.effects()).Replace(`
CREATE TABLE {streams} (stream text PRIMARY KEY, n bigint NOT NULL);
CREATE TABLE {effects} (n bigint GENERATED ALWAYS AS IDENTITY, event uuid, stream text, version bigint, position bigint)`)
	if _, err := log.Pool.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	return y
}

func (y tally) streams() string { return y.log.Table("tally " + y.name) }
func (y tally) effects() string { return y.log.Table("effects " + y.name) }

// sql adds the event $1 of stream $2, of version $3 at position $4.
func (y tally) sql() string {
	return "WITH counted AS (INSERT INTO " + y.streams() + " AS t (stream, n) VALUES ($2, 1) ON CONFLICT (stream) DO UPDATE SET n = t.n + 1) " +
		"INSERT INTO " + y.effects() + " (event, stream, version, position) VALUES ($1, $2, $3, $4)"
}

func (y tally) each(ctx context.Context, tx pgx.Tx, e es.Envelope[note]) error {
	_, err := tx.Exec(ctx, y.sql(), e.ID, e.Stream.String(), e.Version, e.Position)
	return err
}

func (y tally) queued(_ context.Context, b *pgx.Batch, e es.Envelope[note]) error {
	b.Queue(y.sql(), e.ID, e.Stream.String(), e.Version, e.Position)
	return nil
}

func (y tally) whole(ctx context.Context, tx pgx.Tx, events []es.Envelope[note]) error {
	batch := &pgx.Batch{}
	for _, e := range events {
		if err := y.queued(ctx, batch, e); err != nil {
			return err
		}
	}
	return tx.SendBatch(ctx, batch).Close()
}

// deliveries are the ways to keep a tally, in transactions of a store.
func (y tally) deliveries(store *postgres.Store) map[string]subscribe.Delivery {
	return map[string]subscribe.Delivery{
		"each":     subscribe.Transactional(store, subscribe.EachIn(notes, y.each)),
		"pipeline": subscribe.Transactional(store.Pipeline(), subscribe.EachIn(notes, y.queued)),
		"batch":    subscribe.Transactional(store, subscribe.BatchIn(notes, y.whole)),
	}
}

// follow makes a follower of the read model: each effect took place once.
func (y tally) follow(t *testing.T, r *proptest.Recorder) *proptest.Following {
	t.Helper()
	f := r.Follow(proptest.Follower{Name: y.name, Selects: func(e proptest.Event) bool { return e.Stream.Category == "note" }})
	rows, err := y.log.Pool.Query(t.Context(), "SELECT event, stream, version, position FROM "+y.effects()+" ORDER BY n")
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
	return f
}

// want waits until as much has taken effect as is in the log, and checks the history.
func (y tally) want(t *testing.T, within time.Duration) {
	t.Helper()
	y.wantOf(t, &proptest.Recorder{}, within)
}

// wantOf is want with what was recorded of the writers.
func (y tally) wantOf(t *testing.T, r *proptest.Recorder, within time.Duration) {
	t.Helper()
	count := func(sql string) (n int) {
		if err := y.log.Pool.QueryRow(t.Context(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	all := count("SELECT count(*) FROM " + y.log.Table("events") + " WHERE category = 'note'")
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) { // a poll with a deadline
		if count("SELECT count(*) FROM "+y.effects()) >= all {
			break
		}
	}
	y.follow(t, r)
	settle(t, r, y.log.Store)
	if n := count("SELECT coalesce(sum(n), 0) FROM " + y.streams()); n != all {
		t.Errorf("%s: %d events counted of %d", y.name, n, all)
	}
}

// replicas are runners of the same consumers, that a test is unkind to.
type replicas struct {
	log   *backends.Postgres
	app   string
	tally map[string]tally
	seen  leases

	all     []*replica
	closing sync.WaitGroup
	done    map[string]int // what was done to them
}

type replica struct {
	pool *pgxpool.Pool
	stop func()
}

// add starts one more replica in the place i.
func (rs *replicas) add(t *testing.T, i int) {
	t.Helper()
	store, pool := process(t, rs.log, rs.app, 4)
	segments := map[string]int{"each": 3, "pipeline": 2, "batch": 1}
	var consumers []subscribe.Consumer
	for name, y := range rs.tally {
		c := consumer(name, y.deliveries(store)[name])
		c.Segments, c.BatchEvents, c.Attempts = segments[name], 20, 1 // nothing that is done to them is the handler's fault
		consumers = append(consumers, c)
	}
	opts := quick(t)
	opts.Tracers.Lease = &rs.seen
	r, err := subscribe.NewRunner(store, opts, consumers...)
	if err != nil {
		t.Fatal(err)
	}
	rs.all[i] = &replica{pool, start(t, r)}
}

// harm does something to one of them, or to connections of any.
func (rs *replicas) harm(t *testing.T) {
	t.Helper()
	i := rand.IntN(len(rs.all))
	r := rs.all[i]
	what := []string{"backends", "sessions", "connections", "pool", "stop"}[rand.IntN(5)]
	rs.done[what]++
	switch what {
	case "backends":
		kill(t, rs.log, rs.app+"%", 3)
	case "sessions":
		kill(t, rs.log, rs.app+" peat session", 1)
	case "connections":
		r.pool.Reset()
	case "pool":
		rs.closing.Go(r.pool.Close)
		rs.add(t, i) // while it still tries
		r.stop()
	case "stop":
		r.stop()
		rs.closing.Go(r.pool.Close)
		rs.add(t, i)
	}
}

// writers append to the same streams at a bearable pace, until stop is called; r takes
// note of it.
func writers(t *testing.T, log *backends.Postgres, r *proptest.Recorder, n int) (stop func() int64) {
	t.Helper()
	var all sync.WaitGroup
	var written atomic.Int64
	over := make(chan struct{})
	store := r.Appender(log.Store)
	for w := range n {
		all.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ; i++ {
				_, err := store.Append(t.Context(), noteStream(strconv.Itoa(rand.IntN(20))), es.Any, noteOf(w), noteOf(i))
				if err != nil {
					t.Error(err)
					return
				}
				written.Add(2)
				select {
				case <-tick.C:
				case <-over:
					return
				}
			}
		})
	}
	return sync.OnceValue(func() int64 { close(over); all.Wait(); return written.Load() })
}

// Four replicas, killed again and again under sixteen writers: whatever handlers write
// in the transactions of the progress takes effect exactly once and in order.
func TestKilledReplicasCountEachEventOnce(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	rs := &replicas{log: log, app: unique(), tally: map[string]tally{}, all: make([]*replica, 4), done: map[string]int{}}
	for _, name := range []string{"each", "pipeline", "batch"} {
		rs.tally[name] = newTally(t, log, name)
	}
	for i := range rs.all {
		rs.add(t, i)
	}
	t.Cleanup(rs.closing.Wait)
	var r proptest.Recorder
	stop := writers(t, log, &r, 16)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for over := time.Now().Add(6 * time.Second); time.Now().Before(over); <-tick.C { // of load and harm
		rs.harm(t)
	}
	n := stop()
	for _, y := range rs.tally {
		y.wantOf(t, &r, time.Minute)
	}
	t.Logf("%d events; done to the replicas: %v; %d times work was taken", n, rs.done, rs.seen.begun.Load())
	if rs.seen.begun.Load() < 12 {
		t.Errorf("work was taken %d times: nothing that was done made it move", rs.seen.begun.Load())
	}
}
