package subscribe_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/backends"
	"github.com/peatlog/peat/subscribe"
)

// One connection is enough for consumers of every kind and the appends beside them:
// nothing holds one while it waits for another.
func TestPoolOfOneConnectionIsEnough(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	store, _ := process(t, log, unique(), 1)
	transactional, pipeline := newTally(t, log, "each"), newTally(t, log, "pipeline")
	var seen record
	r := newRunner(t, store,
		consumer("each", transactional.deliveries(store)["each"]),
		consumer("pipeline", pipeline.deliveries(store)["pipeline"]),
		consumer("at least once", subscribe.AtLeastOnce(subscribe.Each(notes, &seen))))
	start(t, r)
	var want []string
	for n := range 50 {
		last := write(t, store, "a", n)
		want = append(want, fmt.Sprintf("a/%d", n))
		if n%10 == 9 {
			if err := r.WaitFor(t.Context(), "each", last); err != nil {
				t.Error(err)
			}
		}
	}
	seen.want(t, want...)
	transactional.want(t, 20*time.Second)
	pipeline.want(t, 20*time.Second)
}

// exhaust takes all connections of a pool, until give is called.
func exhaust(t *testing.T, pool *pgxpool.Pool) (give func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var all []*pgxpool.Conn
	for range pool.Config().MaxConns {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, conn)
	}
	give = sync.OnceFunc(func() {
		for _, conn := range all {
			conn.Release()
		}
	})
	t.Cleanup(give)
	return give
}

// givenBack waits until a pool has all its connections; it closes in the background what
// was cut off.
func givenBack(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	eventually(t, "given back", func() bool { return pool.Stat().AcquiredConns() == 0 })
}

// held tells how many of these subscriptions have a holder.
func held(t *testing.T, log *backends.Postgres, subscriptions ...string) (n int) {
	t.Helper()
	readers, err := log.Store.Readers(t.Context(), subscriptions...)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range readers {
		if r.Held {
			n++
		}
	}
	return n
}

const stillWaiting = "are all connections of its pool in use"

// Sessions are beside the pool: leases are kept for longer than the TTL while there is no
// connection for the work, which is said. Nothing is lost.
func TestExhaustedPoolKeepsItsLeasesAndSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	store, pool := process(t, log, unique(), 2)
	var one, two record
	consumers := func() []subscribe.Consumer {
		return []subscribe.Consumer{
			consumer("one", subscribe.AtLeastOnce(subscribe.Each(notes, &one))),
			consumer("two", subscribe.AtLeastOnce(subscribe.Each(notes, &two))),
		}
	}
	w, rival := watch(t), watch(t)
	w.LeaseTTL = 2 * time.Second // less than until it is said
	start(t, w.runner(t, store, consumers()...))
	write(t, log.Store, "a", 1)
	one.want(t, "a/1")
	two.want(t, "a/1")
	start(t, rival.runner(t, log.Store, consumers()...))
	give := exhaust(t, pool)
	write(t, log.Store, "a", 2)
	eventually(t, "said", func() bool { return w.journal.has(stillWaiting) })
	if n := held(t, log, "one", "two"); n != 2 || w.ended.Load() != 0 || rival.begun.Load() != 0 {
		t.Errorf("%d leases held, %d lost, the rival began %d times", n, w.ended.Load(), rival.begun.Load())
	}
	if len(one.all()) != 1 {
		t.Errorf("delivered without a connection: %v", one.all())
	}
	give()
	one.want(t, "a/1", "a/2")
	two.want(t, "a/1", "a/2")
}

// The same at the start, and when it is to stop, which it does without waiting for a
// connection, and so that others can go on.
func TestExhaustedPoolAtTheStartAndAtTheEnd(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	store, pool := process(t, log, unique(), 2)
	var seen record
	w := watch(t)
	w.LeaseTTL = 30 * time.Second
	r := w.runner(t, store, consumer("late", subscribe.AtLeastOnce(subscribe.Each(notes, &seen))))
	write(t, log.Store, "a", 1)
	give := exhaust(t, pool)
	stop := start(t, r)
	eventually(t, "said", func() bool { return w.journal.has(stillWaiting) })
	give()
	seen.want(t, "a/1")
	eventually(t, "stored", func() bool {
		cp, _, err := log.Store.LoadCheckpoint(t.Context(), "late")
		return err == nil && cp != ""
	})
	give = exhaust(t, pool)
	// The word of a change has it look at the generations, for which it has no connection.
	said := w.journal.count("call=generations")
	if _, err := log.Store.RequestRedrive(t.Context(), es.StreamID{}, "late"); err != nil {
		t.Fatal(err)
	}
	write(t, log.Store, "a", 2)
	eventually(t, "waiting for a connection", func() bool { return w.journal.count("call=generations") > said })
	began := time.Now()
	stop()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("stopped after %v", took)
	}
	if n := held(t, log, "late"); n != 0 {
		t.Error("the lease is still held")
	}
	give()
}

// Rows B69, B72: sixteen subscriptions on two connections are all worked on, keep their
// leases beyond the TTL, and are all given back.
func TestManySubscriptionsShareAPoolOfTwo(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	app := unique()
	store, pool := process(t, log, app, 2)
	const n = 16
	var seen [n]record
	var consumers []subscribe.Consumer
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("sub %d", i))
		consumers = append(consumers, consumer(names[i], subscribe.AtLeastOnce(subscribe.Each(notes, &seen[i]))))
	}
	w := watch(t)
	w.LeaseTTL = 3 * time.Second
	stop := start(t, w.runner(t, store, consumers...))
	began := time.Now()
	var want []string
	for i := 0; time.Since(began) < 2*w.LeaseTTL; i++ {
		write(t, store, "a", i)
		want = append(want, fmt.Sprintf("a/%d", i))
		for s := range seen {
			seen[s].want(t, want...)
		}
	}
	if h := held(t, log, names...); h != n || w.begun.Load() != n || w.ended.Load() != 0 {
		t.Errorf("%d leases are held, %d were taken, %d lost", h, w.begun.Load(), w.ended.Load())
	}
	stop()
	if h := held(t, log, names...); h != 0 || w.ended.Load() != n {
		t.Errorf("after the end %d leases are held, %d were given back", h, w.ended.Load())
	}
	givenBack(t, pool)
	// A backend ends some time after its client.
	eventually(t, "without a session", func() bool { return count(t, log, app+" peat session") == 0 })
}

// Rows B70, B74: handlers that take longer than the TTL keep all connections busy, and
// yet lose no lease: nothing is handed over twice, and no rival gets in.
func TestSlowHandlersKeepTheirLeases(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	store, pool := process(t, log, unique(), 2)
	const ttl = 3 * time.Second
	var calls atomic.Int64
	var consumers, rivals []subscribe.Consumer
	var tallies []tally
	for _, name := range []string{"one", "two"} {
		y := newTally(t, log, name)
		slow := subscribe.EachIn(notes, func(ctx context.Context, tx pgx.Tx, e es.Envelope[note]) error {
			calls.Add(1)
			select {
			case <-time.After(3 * ttl / 2): // it is at work
				return y.each(ctx, tx, e)
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		consumers = append(consumers, consumer(name, subscribe.Transactional(store, slow)))
		rivals = append(rivals, consumer(name, subscribe.Transactional(log.Store, slow)))
		tallies = append(tallies, y)
	}
	w, rival := watch(t), watch(t)
	w.LeaseTTL = ttl
	write(t, log.Store, "a", 1)
	stop := start(t, w.runner(t, store, consumers...))
	eventually(t, "at work", func() bool { return calls.Load() == 2 })
	start(t, rival.runner(t, log.Store, rivals...))
	eventually(t, "done", func() bool {
		_, one, err := log.Store.LoadCheckpoint(t.Context(), "one")
		_, two, errTwo := log.Store.LoadCheckpoint(t.Context(), "two")
		return err == nil && errTwo == nil && one&0xff > 0 && two&0xff > 0 // progress on top of the claim
	})
	if w.ended.Load() != 0 || rival.begun.Load() != 0 || calls.Load() != 2 {
		t.Errorf("%d leases lost, the rival began %d times, %d calls of the handlers", w.ended.Load(), rival.begun.Load(), calls.Load())
	}
	stop()
	for _, y := range tallies {
		y.want(t, time.Second)
	}
	givenBack(t, pool)
}

// Rows B71, B75: somebody holds a lock of the subscription's row, and yet a stop is bounded:
// by nothing that is not done, and by five seconds for what is done and cannot be stored.
func TestStopIsBoundedWhenTheRowIsLocked(t *testing.T) {
	t.Parallel()
	for kind, most := range map[string]time.Duration{"each": 3 * time.Second, "at least once": 8 * time.Second} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			log := backends.NewPostgres(t)
			store, pool := process(t, log, unique(), 2)
			var seen record
			d := subscribe.AtLeastOnce(subscribe.Each(notes, &seen))
			if kind == "each" {
				d = subscribe.Transactional(store, subscribe.EachIn(notes, func(_ context.Context, _ pgx.Tx, e es.Envelope[note]) error {
					seen.add(e)
					return nil
				}))
			}
			stop := start(t, newRunner(t, store, consumer("locked", d)))
			write(t, log.Store, "a", 1)
			seen.want(t, "a/1")
			eventually(t, "stored", func() bool {
				cp, _, err := log.Store.LoadCheckpoint(t.Context(), "locked")
				return err == nil && cp != ""
			})
			tx, err := log.Pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback(context.Background()) //nolint:errcheck // it only holds a lock
			if _, err := tx.Exec(t.Context(), "SELECT FROM "+log.Table("subscriptions")+" WHERE name = 'locked' FOR UPDATE"); err != nil {
				t.Fatal(err)
			}
			write(t, log.Store, "a", 2)
			seen.want(t, "a/1", "a/2")
			began := time.Now()
			stop()
			took := time.Since(began)
			t.Logf("stopped after %v", took)
			if took > most {
				t.Errorf("stopped after %v, want at most %v", took, most)
			}
			if n := held(t, log, "locked"); n != 0 {
				t.Error("the lease is still held")
			}
			givenBack(t, pool)
		})
	}
}
