package subscribe_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
	"github.com/peatlog/peat/subscribe"
)

// uncancelled delivers although the context has ended: a holder that does not notice in
// time that it has lost its lease. Nothing but the fence keeps it from doing damage.
type uncancelled struct{ *postgres.Store }

func (u uncancelled) Deliver(ctx context.Context, f func(tx pgx.Tx) error, p es.Progress) error {
	return u.Store.Deliver(context.WithoutCancel(ctx), f, p)
}

// A process that is frozen in the middle of a transaction loses its work after the TTL,
// which the server measures: no clock of a process has a part in that. When the process
// goes on, its transaction is undone.
func TestFrozenHolderDoesNoDamage(t *testing.T) {
	t.Parallel()
	opts := quick(t)
	opts.LeaseTTL = 2 * time.Second
	if isChild() {
		playChild(t, opts, func(store *postgres.Store) subscribe.Delivery {
			y := tally{&backends.Postgres{Options: postgres.Options{Schema: os.Getenv(schemaEnv)}}, "moves"}
			return subscribe.Transactional(uncancelled{store}, subscribe.EachIn(notes, func(ctx context.Context, tx pgx.Tx, e es.Envelope[note]) error {
				err := y.each(context.WithoutCancel(ctx), tx, e)
				if number(e) == 3 {
					fmt.Println("in the middle")
					os.Stdin.Read(make([]byte, 1)) //nolint:errcheck // it is frozen here
				}
				return err
			}))
		})
		return
	}
	log := backends.NewPostgres(t)
	y := newTally(t, log, "moves")
	write(t, log.Store, "a", 1, 2, 3)
	write(t, log.Store, "b", 4)
	c := newChild(t, log)
	c.await(t, "in the middle")
	w := watch(t)
	store, _ := process(t, log, unique(), 4)
	stop := start(t, w.runner(t, store, consumer("moves", subscribe.Transactional(store, subscribe.EachIn(notes, y.each)))))
	frozen := time.Now()
	c.freeze(t)
	if _, err := c.in.Write([]byte{'\n'}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "taken over", func() bool { return w.begun.Load() > 0 })
	took := time.Since(frozen)
	t.Logf("taken over after %v, with a TTL of %v", took, opts.LeaseTTL)
	if took > opts.LeaseTTL+w.Recheck+5*time.Second { // of which 5 s are for a busy machine
		t.Errorf("taken over after %v", took)
	}
	eventually(t, "claimed", func() bool {
		readers, err := log.Store.Readers(t.Context(), "moves")
		return err == nil && readers[0].Holder != "child" && readers[0].Held
	})
	y.want(t, 20*time.Second) // although the frozen transaction has locked the rows
	c.signal(t, syscall.SIGCONT)
	c.await(t, "transaction interrupted")
	c.await(t, "the session is lost")
	write(t, log.Store, "a", 5)
	y.want(t, 20*time.Second)
	stop()
	write(t, log.Store, "b", 6) // for the child, which is as good as any by now
	y.want(t, 20*time.Second)
}

// refusals is a tracer that counts what progress was refused for.
type refusals struct{ stale, saved atomic.Int64 }

func (r *refusals) TraceCheckpoint(_ context.Context, _ string, _ time.Duration, err error) {
	switch {
	case err == nil:
		r.saved.Add(1)
	case errors.Is(err, es.ErrStaleCheckpoint):
		r.stale.Add(1)
	}
}

// Somebody claims the subscription while a handler is at work, whose lease is still in
// order: the progress is refused, and with it all that the handler has written where
// the progress was stored. The runner claims in its turn and delivers again.
func TestOvertakenHolderIsRefused(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"each", "pipeline", "batch", "at least once"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			log := backends.NewPostgres(t)
			y := newTally(t, log, kind)
			var seen record
			d := subscribe.AtLeastOnce(subscribe.Each(notes, &seen))
			if kind != "at least once" {
				d = y.deliveries(log.Store)[kind]
			}
			w := watch(t)
			var refused refusals
			w.Tracers.Checkpoint = &refused
			w.Tracers.Handle = &thief{t: t, log: log}
			write(t, log.Store, "a", 1, 2)
			start(t, w.runner(t, log.Store, consumer("claimed", d)))
			eventually(t, "stored", func() bool { return refused.saved.Load() > 0 })
			if n, said := refused.stale.Load(), w.journal.count("overtaken"); n != 1 || said != 1 {
				t.Errorf("refused %d times, said %d times; want both once", n, said)
			}
			if kind == "at least once" {
				seen.want(t, "a/1", "a/2", "a/1", "a/2")
				return
			}
			y.want(t, time.Second)
		})
	}
}

// thief claims the subscription when events are handed over for the first time.
type thief struct {
	t    *testing.T
	log  *backends.Postgres
	done atomic.Bool
}

func (th *thief) TraceHandle(ctx context.Context, h subscribe.Handling) (context.Context, func(int, error)) {
	if !th.done.Swap(true) {
		if _, _, err := th.log.Store.ClaimCheckpoint(ctx, h.Subscription, "thief"); err != nil {
			th.t.Error(err)
		}
	}
	return ctx, func(int, error) {}
}

func (th *thief) TraceParked(context.Context, string, es.Failure) {}

// A handler that fails on what another process has written meanwhile is no reason to
// stop for good.
func TestFailureOfAnOvertakenHolderIsNoReasonToStop(t *testing.T) {
	t.Parallel()
	for _, onFailure := range []subscribe.OnFailure{subscribe.Stop, subscribe.Park} {
		t.Run(fmt.Sprint(onFailure), func(t *testing.T) {
			t.Parallel()
			log := backends.NewPostgres(t)
			y := newTally(t, log, "fails")
			var calls atomic.Int64
			c := consumer("claimed", subscribe.Transactional(log.Store, subscribe.EachIn(notes, func(ctx context.Context, tx pgx.Tx, e es.Envelope[note]) error {
				if calls.Add(1) <= 2 {
					return errors.New("it is there already")
				}
				return y.each(ctx, tx, e)
			})))
			c.OnFailure = onFailure
			w := watch(t)
			w.Tracers.Handle = &thief{t: t, log: log}
			write(t, log.Store, "a", 1)
			start(t, w.runner(t, log.Store, c))
			y.want(t, 20*time.Second)
		})
	}
}

// Without its session a process has no right to go on: what it is at ends, at once, and
// begins again with another session.
func TestLostSessionEndsTheWorkWhichBeginsAgain(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	app := unique()
	store, _ := process(t, log, app, 4)
	var seen record
	at := make(chan time.Time, 1)
	ended := make(chan time.Time, 1)
	var once atomic.Bool
	w := watch(t)
	w.LeaseTTL = time.Minute
	start(t, w.runner(t, store, consumer("lost", subscribe.AtLeastOnce(subscribe.Each(notes, subscribe.Func[note](func(ctx context.Context, e es.Envelope[note]) error {
		if number(e) == 2 && !once.Swap(true) {
			at <- time.Now()
			<-ctx.Done()
			ended <- time.Now()
			return ctx.Err()
		}
		return seen.Handle(ctx, e)
	}))))))
	write(t, log.Store, "a", 1, 2, 3)
	<-at
	killed := time.Now()
	if n := kill(t, log, app+" peat session", 10); n != 1 {
		t.Fatalf("killed %d sessions", n)
	}
	took := (<-ended).Sub(killed)
	seen.want(t, "a/1", "a/2", "a/3")
	t.Logf("the handler's context ended after %v, all was delivered after %v", took, time.Since(killed))
	if took > 5*time.Second || !w.journal.has("the session is lost") || w.begun.Load() != 2 {
		t.Errorf("the handler's context ended after %v, work was begun %d times", took, w.begun.Load())
	}
}

// A row that somebody deletes is made again, from the beginning of the log; it is said,
// and whoever knew an older revision stays refused.
func TestDeletedRowIsClaimedAgainAndSaidSo(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	var seen record
	w := watch(t)
	start(t, w.runner(t, log.Store, consumer("deleted", subscribe.AtLeastOnce(subscribe.Each(notes, &seen)))))
	write(t, log.Store, "a", 1)
	seen.want(t, "a/1")
	var revision int64
	eventually(t, "stored", func() bool {
		var cp es.Checkpoint
		var err error
		cp, revision, err = log.Store.LoadCheckpoint(t.Context(), "deleted")
		return err == nil && cp != ""
	})
	if err := log.Backend().Forget(t.Context(), "deleted"); err != nil {
		t.Fatal(err)
	}
	write(t, log.Store, "a", 2)
	seen.want(t, "a/1", "a/2", "a/1", "a/2") // the first a/2 was refused
	if !w.journal.has("overtaken") || !w.journal.has("its row was deleted") {
		t.Error("nothing is said of the deleted row")
	}
	for _, old := range []int64{0, 1, revision, revision + 1} {
		err := log.Store.SaveProgress(t.Context(), es.Progress{Subscription: "deleted", Revision: old})
		if !errors.Is(err, es.ErrStaleCheckpoint) {
			t.Errorf("progress of revision %d: %v, want ErrStaleCheckpoint", old, err)
		}
	}
	write(t, log.Store, "a", 3)
	seen.want(t, "a/1", "a/2", "a/1", "a/2", "a/3")
	if diff := gocmp.Diff(int64(2), w.begun.Load()); diff != "" {
		t.Errorf("how often work was begun (-want +got):\n%s", diff)
	}
}
