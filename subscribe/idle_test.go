package subscribe_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
	"github.com/peatlog/peat/internal/pgtest"
	"github.com/peatlog/peat/subscribe"
)

// statements is a tracer of connections that counts what they are asked, each statement
// of a batch on its own.
type statements struct{ n atomic.Int64 }

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.n.Add(1)
	return ctx
}
func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (s *statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	s.n.Add(int64(data.Batch.Len()))
	return ctx
}
func (s *statements) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (s *statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// polls is a tracer that counts the polls of readers, and those that found nothing.
type polls struct{ all, empty, events atomic.Int64 }

func (p *polls) TracePoll(ctx context.Context, _ string) (context.Context, func(int, error)) {
	p.all.Add(1)
	return ctx, func(events int, _ error) {
		if p.events.Add(int64(events)); events == 0 {
			p.empty.Add(1)
		}
	}
}

// quiet is a server that nobody else uses.
type quiet struct {
	store *postgres.Store
	// asked counts the statements of the store and its sessions; own is beside it.
	asked statements
	own   *pgxpool.Pool
}

func newQuiet(t *testing.T) *quiet {
	t.Helper()
	cluster := pgtest.NewCluster(t, pgtest.Options{Settings: map[string]string{"autovacuum": "off"}})
	q := &quiet{}
	pool := func(configure func(c *pgxpool.Config)) *pgxpool.Pool {
		config, err := pgxpool.ParseConfig(cluster.URL())
		if err != nil {
			t.Fatal(err)
		}
		configure(config)
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		return pool
	}
	q.own = pool(func(c *pgxpool.Config) { c.MaxConns = 1 })
	asked := pool(func(c *pgxpool.Config) { c.ConnConfig.Tracer = &q.asked })
	if err := postgres.Migrate(t.Context(), asked, postgres.Options{}); err != nil {
		t.Fatal(err)
	}
	var err error
	if q.store, err = postgres.Open(t.Context(), asked, postgres.Options{}); err != nil {
		t.Fatal(err)
	}
	return q
}

// nextXID returns the transaction id that is given out next, without taking it.
func (q *quiet) nextXID(t *testing.T) (id int64) {
	t.Helper()
	if err := q.own.QueryRow(t.Context(), "SELECT age('3'::xid)::bigint + 3").Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

// Sixteen subscriptions that have nothing to do cost few statements and no transaction
// ids. The time is long enough for each regular duty of a runner, of which the rarest
// comes every ten seconds.
func TestIdleRunnerCostsLittle(t *testing.T) {
	t.Parallel()
	q := newQuiet(t)
	p := &polls{}
	w := watch(t)
	w.RunnerOptions = subscribe.RunnerOptions{LeaseTTL: 3 * time.Second, Logger: w.Logger, Tracers: subscribe.Tracers{Poll: p, Lease: &w.leases}}
	const subscriptions = 16
	var seen [subscriptions]record
	var consumers []subscribe.Consumer
	for i := range subscriptions {
		consumers = append(consumers, consumer(fmt.Sprint("idle ", i), subscribe.AtLeastOnce(subscribe.Each(notes, &seen[i]))))
	}
	start(t, w.runner(t, q.store, consumers...))
	write(t, q.store, "a", 1)
	for i := range seen {
		seen[i].want(t, "a/1")
	}
	quietNow := func() bool { // it has stored all its progress, and polls no more
		before := q.asked.n.Load()
		<-time.After(500 * time.Millisecond)
		return q.asked.n.Load()-before < 10
	}
	eventually(t, "idle", quietNow)
	const long = 11 * time.Second
	xid, asked, polled := q.nextXID(t), q.asked.n.Load(), p.all.Load()
	<-time.After(long) // of doing nothing
	perSecond := float64(q.asked.n.Load()-asked) / long.Seconds()
	t.Logf("%d idle subscriptions: %.1f statements/s, %d polls, %d transaction ids in %v",
		subscriptions, perSecond, p.all.Load()-polled, q.nextXID(t)-xid, long)
	if perSecond > 10 {
		t.Errorf("%.1f statements/s", perSecond)
	}
	if perSecond < 1 {
		t.Errorf("%.1f statements/s: they are not counted", perSecond)
	}
	if n := q.nextXID(t) - xid; n != 0 {
		t.Errorf("%d transaction ids", n)
	}
	if w.ended.Load() != 0 {
		t.Errorf("%d leases were lost", w.ended.Load())
	}
}

// A subscription that keeps up polls at most once per append, and not at all when there is
// nothing more, but for what is allowed for below.
func TestPollsFollowTheAppends(t *testing.T) {
	t.Parallel()
	q := newQuiet(t)
	p := &polls{}
	w := watch(t)
	w.PollInterval, w.Tracers.Poll = time.Minute, p
	const appends = 3000
	var handled atomic.Int64
	start(t, w.runner(t, q.store, consumer("keeps up", subscribe.AtLeastOnce(subscribe.Each(notes, subscribe.Func[note](func(context.Context, es.Envelope[note]) error {
		handled.Add(1)
		return nil
	}))))))
	write(t, q.store, "a", -1)
	eventually(t, "caught up", func() bool { return handled.Load() == 1 && p.empty.Load() > 0 })
	before, empty := p.all.Load(), p.empty.Load()
	began := time.Now()
	for n := range appends {
		write(t, q.store, "a", n)
	}
	eventually(t, "delivered", func() bool { return handled.Load() >= appends+1 })
	if n := handled.Load(); n != appends+1 {
		t.Errorf("%d of %d events were delivered, with %d leases lost", n, appends+1, w.ended.Load())
	}
	delivered := p.all.Load()
	polled := delivered - before
	empty = p.empty.Load() - empty
	t.Logf("%d polls for %d appends in %v, %d of them empty", polled, appends, time.Since(began), empty)
	if polled > appends+10 { // those of the start, or of a lease that was lost, among them
		t.Errorf("%d polls for %d appends", polled, appends)
	}
	// A poll that comes between an append's commit and its wake-up leaves it nothing.
	if empty > polled/3 {
		t.Errorf("%d of %d polls were empty", empty, polled)
	}
	<-time.After(time.Second) // of nothing
	// Such a wake-up may be left from the last append. The backstop asks for another poll if
	// a transaction was open at the last one, such as that of a notification.
	if n := p.all.Load() - delivered; n > 3 {
		t.Errorf("%d polls after the last event", n)
	}
}

// deaf is a store whose sessions never find that the log has grown: what is delivered, a
// wake-up has brought.
type deaf struct{ subscribe.RunnerStore }

func (d deaf) OpenSession(ctx context.Context, opts es.SessionOptions) (es.Session, error) {
	s, err := d.RunnerStore.OpenSession(ctx, opts)
	return deafSession{s}, err
}

type deafSession struct{ es.Session }

func (deafSession) Grown(_ context.Context, behind []es.Checkpoint) ([]bool, error) {
	return make([]bool, len(behind)), nil
}

// soon is before the runner looks at its generations anew, ten seconds after its start.
const soon = 8 * time.Second

// Each of two stores, on one pool or on two, wakes the readers of the other by what it
// appends, and its own.
func TestStoresWakeEachOthersReaders(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	other, err := postgres.Open(t.Context(), log.Pool, log.Options) // on the same pool
	if err != nil {
		t.Fatal(err)
	}
	third, _ := process(t, log, unique(), 2)
	stores := []*postgres.Store{log.Store, other, third}
	var seen [3]record
	began := time.Now()
	var want []string
	for i, s := range stores {
		start(t, newRunner(t, deaf{s}, consumer(fmt.Sprint("of store ", i), subscribe.AtLeastOnce(subscribe.Each(notes, &seen[i])))))
	}
	for n := range 6 {
		write(t, stores[n%3], "a", n)
		want = append(want, fmt.Sprintf("a/%d", n))
		for i := range seen {
			seen[i].want(t, want...)
		}
	}
	if took := time.Since(began); took > soon {
		t.Errorf("all was delivered after %v: was it a wake-up?", took)
	}
}

// Row B78: what nobody tells of is found by looking.
func TestLostWakeUpIsCaughtByLooking(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	_, pool := process(t, log, unique(), 2)
	opts := log.Options
	opts.Silent = true
	silent, err := postgres.Open(t.Context(), pool, opts)
	if err != nil {
		t.Fatal(err)
	}
	var seen record
	start(t, newRunner(t, log.Store, consumer("looks", subscribe.AtLeastOnce(subscribe.Each(notes, &seen)))))
	write(t, silent, "a", 0)
	seen.want(t, "a/0")
	began := time.Now()
	want := []string{"a/0"}
	for n := 1; n <= 5; n++ {
		write(t, silent, "a", n)
		want = append(want, fmt.Sprintf("a/%d", n))
		seen.want(t, want...)
	}
	took := time.Since(began)
	t.Logf("5 events that nobody told of, one after another: %v, with a PollInterval of %v", took, quick(t).PollInterval)
	if took > soon {
		t.Errorf("delivered after %v", took)
	}
}
