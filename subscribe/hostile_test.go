package subscribe_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
	"github.com/peatlog/peat/proptest"
	"github.com/peatlog/peat/subscribe"
)

var errRollBack = errors.New("roll back")

// settle records what the log holds, and checks the history.
func settle(t *testing.T, r *proptest.Recorder, log es.LogReader) {
	t.Helper()
	if err := r.Log(log.ReadAll(t.Context(), es.ReadAllOptions{})); err != nil {
		t.Fatal(err)
	}
	r.Check(t)
}

// drain polls until as many events have come as the log holds. Nobody writes now.
func drain(t *testing.T, sub *subscribe.Subscription, f *proptest.Following, want int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); f.Count() < want && time.Now().Before(deadline); {
		f.Delivered(mustPoll(t, sub)...)
	}
	f.Delivered(mustPoll(t, sub)...) // and nothing more
}

// wantNone polls, and wants nothing.
func wantNone(t *testing.T, sub *subscribe.Subscription) {
	t.Helper()
	if got := mustPoll(t, sub); len(got) > 0 {
		t.Errorf("delivered %v", places(got))
	}
}

// hostileTx is one transaction of a writer that does everything that a log must
// bear: it has its id early, dawdles, writes to several streams, rolls back to
// savepoints, and altogether. r takes note of it.
func hostileTx(ctx context.Context, store *postgres.Store, r *proptest.Recorder) error {
	return r.Transaction(func(record func(es.Appender) es.Appender) error {
		return store.InTx(ctx, func(tx *postgres.Tx) error { return beHostile(ctx, tx, record) })
	})
}

func beHostile(ctx context.Context, tx *postgres.Tx, record func(es.Appender) es.Appender) error {
	dawdle := func() error {
		_, err := tx.SQL().Exec(ctx, "SELECT pg_sleep($1)", rand.Float64()*0.008)
		return err
	}
	if rand.IntN(10) < 4 { // the id is early
		if _, err := tx.SQL().Exec(ctx, "SELECT pg_current_xact_id()"); err != nil {
			return err
		}
	}
	if rand.IntN(10) < 3 {
		if err := dawdle(); err != nil {
			return err
		}
	}
	first := rand.IntN(12)
	for _, n := range []int{first, first + 1 + rand.IntN(4)}[:1+rand.IntN(5)/4] { // ascending, so no deadlocks
		if rand.IntN(10) < 3 {
			if err := inSavepoint(ctx, tx, record, rand.IntN(2) == 0, n); err != nil {
				return err
			}
		}
		events := make([]es.EventData, 1+rand.IntN(3))
		for i := range events {
			events[i] = marked("hostile")
		}
		if _, err := record(tx).Append(ctx, es.StreamID{Category: "hostile", Key: strconv.Itoa(n)}, es.Any, events...); err != nil {
			return err
		}
		if rand.IntN(10) < 3 {
			if err := dawdle(); err != nil {
				return err
			}
		}
	}
	if rand.IntN(10) == 0 {
		return errRollBack
	}
	return nil
}

// inSavepoint appends in a savepoint, which it releases or rolls back to.
func inSavepoint(ctx context.Context, tx *postgres.Tx, record func(es.Appender) es.Appender, keep bool, stream int) error {
	end, to := "ROLLBACK TO SAVEPOINT a", es.Appender(tx)
	if keep {
		end, to = "RELEASE SAVEPOINT a", record(tx)
	}
	if _, err := tx.SQL().Exec(ctx, "SAVEPOINT a"); err != nil {
		return err
	}
	if _, err := to.Append(ctx, es.StreamID{Category: "hostile", Key: strconv.Itoa(stream)}, es.Any, marked("savepoint")); err != nil {
		return err
	}
	_, err := tx.SQL().Exec(ctx, end)
	return err
}

// hostileWriters write until stop is called, which waits for them.
func hostileWriters(t *testing.T, log *backends.Postgres, r *proptest.Recorder, n int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for range n {
		writers.Go(func() {
			for ctx.Err() == nil {
				if err := hostileTx(context.WithoutCancel(ctx), log.Store, r); err != nil && !errors.Is(err, errRollBack) {
					t.Error(err)
					return
				}
			}
		})
	}
	stop = sync.OnceFunc(func() { cancel(); writers.Wait() })
	t.Cleanup(stop)
	return stop
}

// follow polls until the writers have stopped, and then until everything has come.
func follow(t *testing.T, log *backends.Postgres, sub *subscribe.Subscription, f *proptest.Following, written <-chan struct{}) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		over := isClosed(written)
		events, err := sub.Poll(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		f.Delivered(events...)
		if over && len(events) == 0 && f.Count() >= countEvents(t, log) {
			return
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func countEvents(t *testing.T, log *backends.Postgres) (n int) {
	t.Helper()
	if err := log.Pool.QueryRow(t.Context(), "SELECT count(*) FROM "+log.Table("events")).Scan(&n); err != nil {
		t.Error(err)
	}
	return n
}

// Readers of both horizons with several limits, and one that begins in the middle
// of the traffic, follow the same log.
func TestHostileWritersLoseRepeatAndReorderNothing(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	var r proptest.Recorder
	stop := hostileWriters(t, log, &r, 8)
	written := make(chan struct{})
	var readers sync.WaitGroup
	for _, horizon := range horizons {
		for _, c := range []struct{ limit, begins int }{{1, 0}, {7, 0}, {500, 0}, {7, 200}} {
			name := fmt.Sprintf("%v, limit %d, from event %d", horizon, c.limit, c.begins)
			sub, err := subscribe.New(log.Store, name, subscribe.Options{Horizon: horizon, BatchEvents: c.limit})
			if err != nil {
				t.Fatal(err)
			}
			f := r.Follow(proptest.Follower{Name: name, RealTime: horizon == es.Committed})
			readers.Go(func() {
				for countEvents(t, log) < c.begins && !isClosed(written) {
				}
				follow(t, log, sub, f, written)
			})
		}
	}
	for deadline := time.Now().Add(time.Minute); countEvents(t, log) < 1000 && time.Now().Before(deadline); {
	}
	stop()
	close(written)
	readers.Wait()
	settle(t, &r, log.Store)
	t.Logf("%d events", len(r.History().Log))
}

func TestRolledBackSavepointIsNotDelivered(t *testing.T) {
	t.Parallel()
	eachHorizon(t, func(t *testing.T, log *backends.Postgres, horizon es.Horizon) {
		sub := subscription(t, log, subscribe.Options{Horizon: horizon, BatchEvents: 2})
		var r proptest.Recorder
		f := r.Follow(proptest.Follower{Name: "sub"})
		tx, joined := begin(t, log)
		for _, step := range []struct {
			sql   string
			marks int
		}{{"SELECT 1", 1}, {"SAVEPOINT a", 2}, {"ROLLBACK TO SAVEPOINT a", 1}, {"SAVEPOINT b", 1}, {"RELEASE SAVEPOINT b", 1}} {
			if _, err := tx.Exec(t.Context(), step.sql); err != nil {
				t.Fatal(err)
			}
			for range step.marks {
				mustAppend(t, joined, streamS, es.Any, marked(step.sql))
			}
			mustAppend(t, log.Store, streamT, es.Any, marked("other")) // its transaction is younger
			f.Delivered(mustPoll(t, sub)...)
		}
		mustEnd(t, tx.Commit)
		if n := countEvents(t, log); n != 4+5 {
			t.Fatalf("the log holds %d events", n)
		}
		drain(t, sub, f, 4+5)
		settle(t, &r, log.Store)
	})
}

func TestPreparedTransactionIsDeliveredOnceCommitted(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	sub := subscription(t, log, subscribe.Options{})
	tx, joined := begin(t, log)
	mustAppend(t, joined, streamS, es.NoStream, marked("prepared"), marked("prepared"))
	gid := log.Options.Schema
	quoted := "'" + gid + "'" // without quotes inside, see pgtest.NewSchema
	if _, err := tx.Exec(t.Context(), "PREPARE TRANSACTION "+quoted); err != nil {
		t.Fatal(err)
	}
	prepared := true
	t.Cleanup(func() {
		if prepared {
			_, _ = log.Pool.Exec(context.Background(), "ROLLBACK PREPARED "+quoted)
		}
	})
	_ = tx.Rollback(t.Context()) // the session is free again
	for v := range int64(3) {
		mustAppend(t, log.Store, streamT, es.Exact(v), marked("other"))
		wantPlaces(t, mustPoll(t, sub), fmt.Sprintf("t@%d", v+1))
		wantNone(t, sub)
	}
	if _, err := log.Pool.Exec(t.Context(), "COMMIT PREPARED "+quoted); err != nil {
		t.Fatal(err)
	}
	prepared = false
	wantPlaces(t, mustPoll(t, sub), "s@1", "s@2")
	wantNone(t, sub)
}

func TestStreamsOfOneTransactionComeTogetherInTheOrderOfAppends(t *testing.T) {
	t.Parallel()
	eachHorizon(t, func(t *testing.T, log *backends.Postgres, horizon es.Horizon) {
		sub := subscription(t, log, subscribe.Options{Horizon: horizon})
		tx, joined := begin(t, log)
		mustAppend(t, log.Store, streamT, es.NoStream, marked("before"))
		mustAppend(t, joined, streamT, es.Exact(1), marked("cause"))
		mustAppend(t, joined, streamS, es.NoStream, marked("effect"))
		mustPoll(t, sub) // t@1 under Committed
		mustAppend(t, joined, streamT, es.Exact(2), marked("effect of the effect"))
		mustEnd(t, sub.Reset)
		mustEnd(t, tx.Commit)
		if horizon == es.Settled {
			// Streams settle each on their own: s@1 waits for its transaction only,
			// while its companions also wait for the younger one of t@1.
			byStream := map[es.StreamID][]es.Recorded{}
			for _, e := range collect(t, sub, 4) {
				byStream[e.Stream] = append(byStream[e.Stream], e)
			}
			wantPlaces(t, byStream[streamT], "t@1", "t@2", "t@3")
			wantPlaces(t, byStream[streamS], "s@1")
			return
		}
		// Once the first one of them is there, all are.
		wantPlaces(t, mustPoll(t, sub), "t@1", "t@2", "s@1", "t@3")
	})
}

func TestFirstEventEverIsDeliveredToWhoPolledBefore(t *testing.T) {
	t.Parallel()
	eachHorizon(t, func(t *testing.T, log *backends.Postgres, horizon es.Horizon) {
		sub := subscription(t, log, subscribe.Options{Horizon: horizon})
		wantNone(t, sub)
		mustEnd(t, sub.Checkpoint)
		mustAppend(t, log.Store, streamS, es.NoStream, marked("first"))
		wantPlaces(t, collect(t, sub, 1), "s@1")
		wantNone(t, sub)
	})
}
