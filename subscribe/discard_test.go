package subscribe_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/proptest"
	"github.com/peatlog/peat/subscribe"
)

// inEachStore runs a test of a runner on an empty log of each store and on the
// simulated log.
func inEachStore(t *testing.T, test func(t *testing.T, store subscribe.RunnerStore, log es.Store)) {
	t.Helper()
	inBothStores(t, test)
	t.Run("simulated", func(t *testing.T) {
		t.Parallel()
		log := proptest.NewLog(proptest.LogOptions{})
		test(t, log, log)
	})
}

// unheard is a store whose sessions do not hear that something has changed, as when a
// notification is lost, or was sent by another process that shares an SQLite file.
type unheard struct{ subscribe.RunnerStore }

func (d unheard) OpenSession(ctx context.Context, opts es.SessionOptions) (es.Session, error) {
	s, err := d.RunnerStore.OpenSession(ctx, opts)
	return unheardSession{s}, err
}

type unheardSession struct{ es.Session }

func (s unheardSession) Wait(ctx context.Context, d time.Duration) (es.News, error) {
	news, err := s.Session.Wait(ctx, d)
	news.Changed = false
	return news, err
}

// parking is a consumer that handles notes by h and parks those that it fails on.
func parking(h subscribe.Func[note]) subscribe.Consumer {
	c := consumer("parking", subscribe.AtLeastOnce(subscribe.Each(notes, h)))
	c.OnFailure, c.Attempts = subscribe.Park, 1
	return c
}

// eventuallyParked waits until so many events are parked.
func eventuallyParked(t *testing.T, r *subscribe.Runner, want int) {
	t.Helper()
	eventually(t, "parked as wanted", func() bool {
		parked, err := r.Parked(t.Context(), "parking")
		return err == nil && len(parked) == want
	})
}

func discard(t *testing.T, r *subscribe.Runner, key string, version int64) {
	t.Helper()
	if err := r.Discard(t.Context(), "parking", noteStream(key), version, "ann", "a test"); err != nil {
		t.Error(err)
	}
}

// When the last parked event of a stream is discarded, the stream flows again, whether
// its reader hears of it or not.
func TestStreamFlowsAfterTheDiscardOfItsLastParkedEvent(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(subscribe.RunnerStore) subscribe.RunnerStore{
		"heard": func(s subscribe.RunnerStore) subscribe.RunnerStore { return s },
		"lost":  func(s subscribe.RunnerStore) subscribe.RunnerStore { return unheard{s} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inEachStore(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
				var got record
				r := newRunner(t, wrap(store), parking(func(_ context.Context, e es.Envelope[note]) error {
					if number(e) < 0 {
						return errors.New("bad")
					}
					got.add(e)
					return nil
				}))
				start(t, r)
				write(t, log, "a", -1, -2)
				eventuallyParked(t, r, 2)
				discard(t, r, "a", 2)
				write(t, log, "a", 3) // version 1 is parked still
				eventuallyParked(t, r, 2)
				discard(t, r, "a", 3)
				discard(t, r, "a", 1)
				for n := range 3 {
					if err := r.WaitFor(t.Context(), "parking", write(t, log, "a", 10+n)); err != nil {
						t.Errorf("WaitFor: %v", err)
					}
				}
				got.want(t, "a/10", "a/11", "a/12")
				eventuallyParked(t, r, 0)
			})
		})
	}
}

// discardMeanwhile discards the last parked event of a stream while the next one is
// about to be set aside with it: both are in one batch with an event of another
// stream, whose handler runs. handle makes the consumer of a handler; store is in it.
func discardMeanwhile(t *testing.T, store subscribe.RunnerStore, log es.Store, consumerOf func(h subscribe.Func[note]) subscribe.Consumer) {
	t.Helper()
	handling, discarded := make(chan struct{}), make(chan struct{})
	meanwhile := sync.OnceFunc(func() { close(handling); <-discarded })
	r := newRunner(t, store, consumerOf(func(_ context.Context, e es.Envelope[note]) error {
		switch number(e) {
		case 1:
			return errors.New("bad")
		case 10:
			meanwhile()
		}
		return nil
	}))
	stop := start(t, r)
	write(t, log, "a", 1)
	eventuallyParked(t, r, 1)
	stop()
	write(t, log, "b", 10)
	last := write(t, log, "a", 2)
	start(t, r)
	<-handling
	discard(t, r, "a", 1)
	close(discarded)
	if err := r.WaitFor(t.Context(), "parking", last); err != nil {
		t.Errorf("WaitFor: %v", err)
	}
	eventuallyParked(t, r, 0)
}

func TestDiscardWhileTheNextEventIsAboutToBeParked(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		var got record
		discardMeanwhile(t, store, log, func(h subscribe.Func[note]) subscribe.Consumer {
			return parking(func(ctx context.Context, e es.Envelope[note]) error {
				err := h(ctx, e)
				if err == nil && e.Stream.Key == "a" {
					got.add(e)
				}
				return err
			})
		})
		got.want(t, "a/2")
	})
	// On SQLite a discard waits until the handler's transaction has committed.
	t.Run("postgres in a transaction", func(t *testing.T) {
		t.Parallel()
		m := postgresModel(t)
		if err := m.store.(es.Transactor[pgx.Tx]).Deliver(t.Context(), func(tx pgx.Tx) error {
			return m.create(t.Context(), tx, m.table)
		}, es.Progress{Subscription: "create"}); err != nil {
			t.Fatal(err)
		}
		discardMeanwhile(t, m.store, m.log, func(h subscribe.Func[note]) subscribe.Consumer {
			c := parking(h)
			c.Delivery = subscribe.Transactional(m.in, subscribe.EachIn(notes, func(ctx context.Context, tx pgx.Tx, e es.Envelope[note]) error {
				if err := h(ctx, e); err != nil {
					return err
				}
				return m.count(ctx, tx, m.table, e)
			}))
			return c
		})
		m.want(t, m.table, map[string]int{"a": 1, "b": 1})
	})
}

// A request for a redrive that a runner does not hear of is found, also when nothing
// else happens.
func TestRedriveIsFoundWhoseNotificationIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := proptest.NewLog(proptest.LogOptions{})
		var mended atomic.Bool
		var got record
		r := newRunner(t, unheard{log}, parking(func(_ context.Context, e es.Envelope[note]) error {
			if !mended.Load() {
				return errors.New("bad")
			}
			got.add(e)
			return nil
		}))
		start(t, r)
		write(t, log, "a", 1, 2)
		eventuallyParked(t, r, 2)
		mended.Store(true)
		if n, err := r.Redrive(t.Context(), "parking", noteStream("a")); n != 2 || err != nil {
			t.Errorf("asked for %d events, %v", n, err)
		}
		got.want(t, "a/1", "a/2")
	})
}

// An error of a handler is the handler's, also one that the store uses.
func TestHandlerThatReturnsErrNotParkedHasFailed(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		var calls atomic.Int32
		r := newRunner(t, store, parking(func(context.Context, es.Envelope[note]) error {
			calls.Add(1)
			return fmt.Errorf("discard another one: %w", es.ErrNotParked)
		}))
		start(t, r)
		write(t, log, "a", 1, 2)
		eventuallyParked(t, r, 2)
		if _, err := r.Redrive(t.Context(), "parking", noteStream("a")); err != nil {
			t.Error(err)
		}
		eventually(t, "tried again", func() bool {
			parked, err := r.Parked(t.Context(), "parking")
			return err == nil && len(parked) == 2 && !parked[0].Redrive && parked[1].Redrive
		})
		if n := calls.Load(); n != 2 {
			t.Errorf("%d calls of the handler, want 2", n)
		}
	})
}

// What was parked after a redrive was asked for is part of it, also when it is broken
// off in the middle.
func TestRedriveThatIsBrokenOffLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		var mended atomic.Bool
		var got record
		reached := make(chan struct{})
		breakOff := sync.OnceFunc(func() { close(reached) })
		r := newRunner(t, store, parking(func(ctx context.Context, e es.Envelope[note]) error {
			if !mended.Load() {
				return errors.New("bad")
			}
			if number(e) == 3 {
				select {
				case <-reached:
				default:
					breakOff()
					<-ctx.Done()
					return ctx.Err()
				}
			}
			got.add(e)
			return nil
		}))
		stop := start(t, r)
		write(t, log, "a", 1, 2)
		eventuallyParked(t, r, 2)
		stop()
		write(t, log, "a", 3)
		if n, err := r.Redrive(t.Context(), "parking", noteStream("a")); n != 2 || err != nil {
			t.Errorf("asked for %d events, %v", n, err)
		}
		parkNext(t, store, "parking") // as a runner does that has not heard of the request
		mended.Store(true)
		stop = start(t, r)
		<-reached
		stop()
		start(t, r)
		got.want(t, "a/1", "a/2", "a/3")
		eventuallyParked(t, r, 0)
	})
}

// parkNext sets the next event of a subscription aside, to wait.
func parkNext(t *testing.T, store subscribe.RunnerStore, subscription string) {
	t.Helper()
	at, revision, err := store.ClaimCheckpoint(t.Context(), subscription, "test")
	if err != nil {
		t.Fatal(err)
	}
	b, err := store.Feed(t.Context(), at, es.FeedOptions{})
	if err != nil || len(b.Events) != 1 {
		t.Fatalf("%d events, %v", len(b.Events), err)
	}
	e := b.Events[0]
	err = store.SaveProgress(t.Context(), es.Progress{
		Subscription: subscription, Revision: revision, Checkpoint: b.Next,
		Park: []es.Failure{{Position: e.Position, Stream: e.Stream, Version: e.Version}},
	})
	if err != nil {
		t.Fatal(err)
	}
}
