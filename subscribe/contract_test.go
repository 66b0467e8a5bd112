package subscribe_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/backends"
	"github.com/peatlog/peat/proptest"
	"github.com/peatlog/peat/subscribe"
)

// Row B50: a payload that does not fit its type stops the consumer, in a batch before
// its handler is called at all, and no progress passes it.
func TestMalformedEventStopsBeforeItsHandler(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		if _, err := log.Append(t.Context(), noteStream("a"), es.NoStream, es.EventData{Type: "note.noted", Data: []byte(`{"N": "many"}`)}); err != nil {
			t.Fatal(err)
		}
		write(t, log, "a", 2)
		var calls atomic.Int64
		for name, d := range map[string]subscribe.Delivery{
			"each": subscribe.AtLeastOnce(subscribe.Each(notes, subscribe.Func[note](func(context.Context, es.Envelope[note]) error {
				calls.Add(1)
				return nil
			}))),
			"batch": subscribe.AtLeastOnce(subscribe.Batch(notes, func(context.Context, []es.Envelope[note]) error {
				calls.Add(1)
				return nil
			})),
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			err := newRunner(t, store, consumer(name, d)).Run(ctx)
			cancel()
			stopped, ok := errors.AsType[*subscribe.DeliveryError](err)
			if !ok || stopped.Event.Version != 1 || !errors.Is(err, es.ErrDecode) || !errors.Is(err, codec.ErrMalformed) {
				t.Errorf("%s: Run: %v, want a DeliveryError about version 1", name, err)
			}
			if cp, _, err := store.LoadCheckpoint(t.Context(), name); err != nil || cp != "" {
				t.Errorf("%s: progress %q, %v; want none", name, cp, err)
			}
		}
		if n := calls.Load(); n != 0 {
			t.Errorf("%d calls of the handlers", n)
		}
	})
}

// Rows B59, B61: wherever in a batch a reader is cut off, a reader that begins behind
// what was stored is given the rest, in the same order, and nothing else. The log is one
// of hostile writers, read while some of it is held back.
func TestEveryPrefixOfABatchIsACheckpoint(t *testing.T) {
	t.Parallel()
	eachHorizon(t, func(t *testing.T, log *backends.Postgres, horizon es.Horizon) {
		for range 3 {
			invertedPairOn(t, log, streamS)
			invertedPairOn(t, log, streamT)
		}
		opts := es.FeedOptions{Horizon: horizon, MaxEvents: 5}
		follow := func(cp es.Checkpoint, enough int) (all []es.Recorded, batches []es.Batch) {
			for deadline := time.Now().Add(30 * time.Second); len(all) < enough && time.Now().Before(deadline); {
				b, err := log.Store.Feed(t.Context(), cp, opts)
				if err != nil {
					t.Fatal(err)
				}
				if cp = b.Next; len(b.Events) > 0 {
					all, batches = append(all, b.Events...), append(batches, b)
				}
			}
			return all, batches
		}
		const total = 12
		all, batches := follow("", total)
		var r proptest.Recorder
		done := 0
		for _, b := range batches {
			for n := range len(b.Events) + 1 {
				f := r.Follow(proptest.Follower{Name: fmt.Sprint("behind event ", done+n)})
				f.Delivered(all[:done+n]...)
				rest, _ := follow(b.Prefix(n), total-done-n)
				f.Delivered(rest...)
			}
			done += len(b.Events)
		}
		settle(t, &r, log.Store)
		if done != total {
			t.Errorf("%d events, want %d", done, total)
		}
	})
}

// invertedPairOn appends two events to a stream, the second one of the older transaction.
func invertedPairOn(t *testing.T, log *backends.Postgres, stream es.StreamID) {
	t.Helper()
	tx, older := begin(t, log)
	mustAppend(t, log.Store, stream, es.Any, marked("first"))
	mustAppend(t, older, stream, es.StreamExists, marked("second"))
	mustEnd(t, tx.Commit)
}

// Row B60: an event that somebody deletes while its successor waits for it does not hold
// that back for ever.
func TestVanishedEventHoldsNothingBack(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	sub := subscription(t, log, subscribe.Options{Horizon: es.Settled})
	txA, a := begin(t, log)
	pin, _ := begin(t, log)
	mustAppend(t, log.Store, streamS, es.NoStream, marked("v1"))
	mustAppend(t, a, streamS, es.Exact(1), marked("v2"))
	mustEnd(t, txA.Commit)
	wantNone(t, sub) // both wait for the pin
	if err := log.Backend().DeleteEvent(t.Context(), streamS, 1); err != nil {
		t.Fatal(err)
	}
	mustEnd(t, pin.Rollback)
	wantPlaces(t, collect(t, sub, 1), "s@2")
	var corrupt error
	for _, err := range log.Store.ReadStream(t.Context(), streamS, es.ReadOptions{}) {
		corrupt = err
	}
	if !errors.Is(corrupt, es.ErrCorruptStream) {
		t.Errorf("who loads the stream gets %v, want ErrCorruptStream", corrupt)
	}
}

// Rows B77, B91: what this process appends is delivered at once, however rarely it looks.
func TestAppendsAreDeliveredWithoutLooking(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		opts := quick(t)
		opts.PollInterval, opts.Recheck = time.Hour, time.Hour
		var seen record
		r, err := subscribe.NewRunner(deaf{store}, opts, consumer("wakes", subscribe.AtLeastOnce(subscribe.Each(notes, &seen))))
		if err != nil {
			t.Fatal(err)
		}
		write(t, log, "a", 0)
		start(t, r)
		want := []string{"a/0"}
		seen.want(t, want...)
		began := time.Now()
		for n := 1; n <= 10; n++ {
			write(t, log, "a", n)
			want = append(want, "a/"+strconv.Itoa(n))
			seen.want(t, want...)
		}
		if took := time.Since(began); took > soon {
			t.Errorf("10 events were delivered after %v: was it a wake-up?", took)
		}
	})
}

// Defect W15: a segment that stops, by a panic or otherwise, is given back at once, and
// not when the lease ends.
func TestStoppedSegmentIsGivenBackAtOnce(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	opts := quick(t)
	opts.LeaseTTL = time.Minute
	var other, standby record
	panicking := consumer("model", subscribe.AtLeastOnce(subscribe.Each(notes, subscribe.Func[note](func(context.Context, es.Envelope[note]) error {
		panic("an old program")
	}))))
	alive := consumer("other", subscribe.AtLeastOnce(subscribe.Each(notes, &other)))
	first, err := subscribe.NewRunner(log.Store, opts, panicking, alive)
	if err != nil {
		t.Fatal(err)
	}
	write(t, log.Store, "a", 1)
	start(t, first)
	eventually(t, "stopped", func() bool {
		status, err := first.Status(t.Context())
		return err == nil && status[0].Readers[0].Error != ""
	})
	store, _ := process(t, log, unique(), 4)
	second, err := subscribe.NewRunner(store, opts, consumer("model", subscribe.AtLeastOnce(subscribe.Each(notes, &standby))))
	if err != nil {
		t.Fatal(err)
	}
	start(t, second)
	standby.want(t, "a/1") // within 20 s, a third of the TTL
	other.want(t, "a/1")   // the first one lives on
}

// Cost P6: behind the last attempt there is no pause, and a pause ends with the runner.
func TestNoPauseBehindTheLastAttempt(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		write(t, log, "a", 1)
		failing := func(attempts int) subscribe.Consumer {
			c := consumer("attempts "+strconv.Itoa(attempts), subscribe.AtLeastOnce(subscribe.Each(notes, subscribe.Func[note](
				func(context.Context, es.Envelope[note]) error { return errors.New("never") }))))
			c.Attempts, c.RetryDelay = attempts, time.Minute
			return c
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := newRunner(t, store, failing(1)).Run(ctx); !cmp.Equal(ctx.Err(), nil) || err == nil {
			t.Errorf("Run: %v; want the handler's error at once", err)
		}
		calls := failing(2)
		stop := start(t, newRunner(t, store, calls))
		eventually(t, "failed once", func() bool {
			_, revision, err := store.LoadCheckpoint(t.Context(), calls.Name)
			return err == nil && revision > 0 // it is claimed, and on its way
		})
		stop() // which fails the test after 20 s
	})
}
