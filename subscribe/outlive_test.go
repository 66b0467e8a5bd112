package subscribe_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/proptest"
	"github.com/peatlog/peat/subscribe"
)

// counted is a store that counts the calls inside the methods that a run uses. A call for
// which stuck says so does not go on until its context ends, as when a server does not
// answer.
type counted struct {
	subscribe.RunnerStore
	inside atomic.Int32
	stuck  func(method string) bool
}

// enter begins a call and returns what ends it.
func (s *counted) enter(ctx context.Context, method string) (leave func()) {
	s.inside.Add(1)
	if s.stuck(method) {
		<-ctx.Done()
	}
	return func() { s.inside.Add(-1) }
}

func (s *counted) Feed(ctx context.Context, behind es.Checkpoint, opts es.FeedOptions) (es.Batch, error) {
	defer s.enter(ctx, "Feed")()
	return s.RunnerStore.Feed(ctx, behind, opts)
}

func (s *counted) LoadCheckpoint(ctx context.Context, subscription string) (es.Checkpoint, int64, error) {
	defer s.enter(ctx, "LoadCheckpoint")()
	return s.RunnerStore.LoadCheckpoint(ctx, subscription)
}

func (s *counted) ClaimCheckpoint(ctx context.Context, subscription, holder string) (es.Checkpoint, int64, error) {
	defer s.enter(ctx, "ClaimCheckpoint")()
	return s.RunnerStore.ClaimCheckpoint(ctx, subscription, holder)
}

func (s *counted) SaveProgress(ctx context.Context, p es.Progress) error {
	defer s.enter(ctx, "SaveProgress")()
	return s.RunnerStore.SaveProgress(ctx, p)
}

func (s *counted) Pins(ctx context.Context) ([]es.Pin, error) {
	defer s.enter(ctx, "Pins")()
	return s.RunnerStore.Pins(ctx)
}

func (s *counted) Readers(ctx context.Context, subscriptions ...string) ([]es.Reader, error) {
	defer s.enter(ctx, "Readers")()
	return s.RunnerStore.Readers(ctx, subscriptions...)
}

func (s *counted) RecordFailure(ctx context.Context, subscription string, revision int64, reason string) error {
	defer s.enter(ctx, "RecordFailure")()
	return s.RunnerStore.RecordFailure(ctx, subscription, revision, reason)
}

func (s *counted) Lag(ctx context.Context, behind es.Checkpoint, opts es.FeedOptions) (es.Lag, error) {
	defer s.enter(ctx, "Lag")()
	return s.RunnerStore.Lag(ctx, behind, opts)
}

func (s *counted) Parked(ctx context.Context, subscriptions ...string) ([]es.Parked, error) {
	defer s.enter(ctx, "Parked")()
	return s.RunnerStore.Parked(ctx, subscriptions...)
}

func (s *counted) ReadParked(ctx context.Context, subscription string, stream es.StreamID, limit int) ([]es.Recorded, error) {
	defer s.enter(ctx, "ReadParked")()
	return s.RunnerStore.ReadParked(ctx, subscription, stream, limit)
}

func (s *counted) RequestRedrive(ctx context.Context, stream es.StreamID, subscriptions ...string) (int, error) {
	defer s.enter(ctx, "RequestRedrive")()
	return s.RunnerStore.RequestRedrive(ctx, stream, subscriptions...)
}

func (s *counted) Generations(ctx context.Context, name string, segments int) (es.Generations, error) {
	defer s.enter(ctx, "Generations")()
	return s.RunnerStore.Generations(ctx, name, segments)
}

func (s *counted) Switch(ctx context.Context, t es.TakeOver, f func() error) (bool, error) {
	defer s.enter(ctx, "Switch")()
	return s.RunnerStore.Switch(ctx, t, f)
}

func (s *counted) OpenSession(ctx context.Context, opts es.SessionOptions) (es.Session, error) {
	defer s.enter(ctx, "OpenSession")()
	session, err := s.RunnerStore.OpenSession(ctx, opts)
	return &countedSession{session, s}, err
}

type countedSession struct {
	es.Session
	store *counted
}

func (s *countedSession) Acquire(ctx context.Context, leases []string, most int) ([]string, error) {
	defer s.store.enter(ctx, "Acquire")()
	return s.Session.Acquire(ctx, leases, most)
}

func (s *countedSession) Release(ctx context.Context, leases []string) error {
	defer s.store.enter(ctx, "Release")()
	return s.Session.Release(ctx, leases)
}

func (s *countedSession) Renew(ctx context.Context) ([]string, error) {
	defer s.store.enter(ctx, "Renew")()
	return s.Session.Renew(ctx)
}

func (s *countedSession) Members(ctx context.Context, groups []string) ([][]int, error) {
	defer s.store.enter(ctx, "Members")()
	return s.Session.Members(ctx, groups)
}

func (s *countedSession) Wait(ctx context.Context, d time.Duration) (es.News, error) {
	defer s.store.enter(ctx, "Wait")()
	return s.Session.Wait(ctx, d)
}

func (s *countedSession) Grown(ctx context.Context, behind []es.Checkpoint) ([]bool, error) {
	defer s.store.enter(ctx, "Grown")()
	return s.Session.Grown(ctx, behind)
}

func (s *countedSession) Close(ctx context.Context) error {
	defer s.store.enter(ctx, "Close")()
	return s.Session.Close(ctx)
}

// countedTransactor does the same for transactions.
type countedTransactor[T any] struct {
	es.Transactor[T]
	store *counted
}

func (s countedTransactor[T]) Deliver(ctx context.Context, f func(tx T) error, p es.Progress) error {
	defer s.store.enter(ctx, "Deliver")()
	return s.Transactor.Deliver(ctx, f, p)
}

func (s countedTransactor[T]) TakeOver(ctx context.Context, t es.TakeOver, f func(tx T) error) (bool, error) {
	defer s.store.enter(ctx, "TakeOver")()
	return s.Transactor.TakeOver(ctx, t, f)
}

// delivered is a delivery of h in transactions of the store, whatever their kind, that
// can be rebuilt.
func (s *counted) delivered(h subscribe.Func[note]) subscribe.Delivery {
	switch in := s.RunnerStore.(type) {
	case es.Transactor[pgx.Tx]:
		return deliveredIn(countedTransactor[pgx.Tx]{in, s}, h)
	case es.Transactor[*sql.Tx]:
		return deliveredIn(countedTransactor[*sql.Tx]{in, s}, h)
	case es.Transactor[*proptest.Tx]:
		return deliveredIn(countedTransactor[*proptest.Tx]{in, s}, h)
	}
	panic(fmt.Sprintf("%T has no transactions", s.RunnerStore))
}

func deliveredIn[T any](in es.Transactor[T], h subscribe.Func[note]) subscribe.Delivery {
	return subscribe.Transactional(in,
		subscribe.EachIn(notes, func(ctx context.Context, _ T, e es.Envelope[note]) error { return h(ctx, e) }),
		subscribe.OnRebuild[T](nil, nil))
}

// goroutines returns the stacks of package subscribe in goroutines that were started
// under a label.
func goroutines(t *testing.T, label string) []string {
	t.Helper()
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Fatal(err)
	}
	var left []string
	for stack := range strings.SplitSeq(profile.String(), "\n\n") {
		if strings.Contains(stack, strconv.Quote(label)) && strings.Contains(stack, "peat/subscribe.") {
			left = append(left, stack)
		}
	}
	return left
}

// runs counts the labels.
var runs atomic.Int64

// runUntil runs consumers until during calls cancel, or until they have all stopped, and
// checks that nothing of the run is left then. It returns the error of the run.
func runUntil(t *testing.T, s *counted, opts subscribe.RunnerOptions, during func(cancel func()), consumers ...subscribe.Consumer) error {
	t.Helper()
	r, err := subscribe.NewRunner(s, opts, consumers...)
	if err != nil {
		t.Fatal(err)
	}
	label := fmt.Sprint("run ", runs.Add(1))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	defer cancel()
	ended := make(chan error, 1)
	go pprof.Do(ctx, pprof.Labels("run", label), func(ctx context.Context) { ended <- r.Run(ctx) })
	during(cancel)
	select {
	case err = <-ended:
	case <-time.After(20 * time.Second):
		t.Fatalf("Run does not end:\n%s", strings.Join(goroutines(t, label), "\n\n"))
	}
	if n := s.inside.Load(); n != 0 {
		t.Errorf("%d calls are inside the store after Run has returned", n)
	}
	// A goroutine that has done all it had to do may take a moment to be gone.
	for deadline := time.Now().Add(2 * time.Second); len(goroutines(t, label)) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("goroutines are left after Run has returned:\n%s", strings.Join(goroutines(t, label), "\n\n"))
		}
	}
	return err
}

// hang runs consumers of all kinds on a store of which some calls hang, and cancels the
// run at some moment.
func hang(t *testing.T, store subscribe.RunnerStore, log es.Store, random *rand.Rand) {
	t.Helper()
	only := []string{"", "", "Feed", "Deliver", "SaveProgress", "Wait", "TakeOver", "Parked"}[random.IntN(8)]
	oneIn := 1 << random.IntN(8)
	moment := time.Duration(random.IntN(300)) * time.Millisecond
	s := &counted{RunnerStore: store, stuck: func(method string) bool {
		return (only == "" || only == method) && rand.IntN(oneIn+1) == 0
	}}
	fails := func(_ context.Context, e es.Envelope[note]) error {
		if number(e)%5 == 4 {
			return errors.New("bad")
		}
		return nil
	}
	divided := consumer("divided", s.delivered(func(context.Context, es.Envelope[note]) error { return nil }))
	divided.Segments, divided.BatchEvents = 3, 2
	stopping := consumer("stopping", subscribe.AtLeastOnce(subscribe.Each(notes, subscribe.Func[note](fails))))
	parked := parking(fails)
	stopping.BatchEvents, parked.BatchEvents = 3, 3
	for n := range 8 {
		write(t, log, strconv.Itoa(n), n, n+1, n+2)
	}
	opts := quick(t)
	opts.LeaseTTL, opts.Logger = time.Second, nil
	err := runUntil(t, s, opts, func(cancel func()) {
		if _, err := store.BeginRebuild(t.Context(), "divided", 3, false); err != nil && !errors.Is(err, es.ErrRebuilding) {
			t.Error(err)
		}
		if _, err := store.RequestRedrive(t.Context(), es.StreamID{}, "parking"); err != nil {
			t.Error(err)
		}
		<-time.After(moment)
		cancel()
	}, divided, stopping, parked)
	if err != nil {
		t.Errorf("Run: %v", err)
	}
	if t.Failed() {
		t.Fatalf("one in %d calls of %q hung, for %v", oneIn+1, only, moment)
	}
}

// Whenever a run is cancelled, and whatever hangs in the store, nothing of it is left
// when Run returns.
func TestNothingOutlivesRun(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		for seed := range uint64(6) {
			hang(t, store, log, rand.New(rand.NewPCG(seed, 0)))
		}
	})
	t.Run("simulated", func(t *testing.T) {
		t.Parallel()
		for seed := range uint64(200) {
			synctest.Test(t, func(t *testing.T) {
				log := proptest.NewLog(proptest.LogOptions{})
				hang(t, log, log, rand.New(rand.NewPCG(seed, 1)))
			})
		}
	})
}

// after lets the calls of one method from the nth on hang. reached is closed by the
// first of them.
func after(method string, n int32) (stuck func(string) bool, reached chan struct{}) {
	var calls atomic.Int32
	reached = make(chan struct{})
	return func(called string) bool {
		if called != method {
			return false
		}
		count := calls.Add(1)
		if count == n {
			close(reached)
		}
		return count >= n
	}, reached
}

// What is read ahead ends with the run, also when the reader waits for it.
func TestReadAheadEndsWithRun(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		stuck, reached := after("Feed", 2)
		write(t, log, "a", 1, 2, 3, 4, 5, 6, 7)
		var got record
		c := consumer("ahead", subscribe.AtLeastOnce(subscribe.Each(notes, &got)))
		c.BatchEvents = 3
		err := runUntil(t, &counted{RunnerStore: store, stuck: stuck}, quick(t), func(cancel func()) {
			<-reached
			eventually(t, "stored", func() bool { // then it needs what is read ahead
				at, _, err := store.LoadCheckpoint(t.Context(), "ahead")
				return err == nil && at != ""
			})
			cancel()
		}, c)
		if err != nil {
			t.Errorf("Run: %v", err)
		}
		got.want(t, "a/1", "a/2", "a/3")
	})
}

// A run that ends because all its consumers have stopped breaks off what it does in the
// background.
func TestNothingOutlivesRunWhenAllHaveStopped(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		stuck, reached := after("TakeOver", 1)
		s := &counted{RunnerStore: store, stuck: stuck}
		bad := errors.New("bad")
		c := consumer("rebuilt", s.delivered(func(_ context.Context, e es.Envelope[note]) error {
			if number(e) == 3 {
				return bad
			}
			return nil
		}))
		write(t, log, "a", 1, 2)
		if _, err := store.BeginRebuild(t.Context(), "rebuilt", 1, false); err != nil {
			t.Fatal(err)
		}
		err := runUntil(t, s, quick(t), func(func()) {
			<-reached
			write(t, log, "a", 3) // both generations stop at it
		}, c)
		if !errors.Is(err, bad) {
			t.Errorf("Run: %v, want the handler's error", err)
		}
	})
}

// Nothing that a subscription has begun to read outlives it.
func TestCloseEndsWhatASubscriptionReads(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		stuck, reached := after("Feed", 2)
		s := &counted{RunnerStore: store, stuck: stuck}
		write(t, log, "a", 1, 2, 3, 4, 5, 6, 7)
		sub, err := subscribe.New(s, "closed", subscribe.Options{BatchEvents: 3})
		if err != nil {
			t.Fatal(err)
		}
		sub.Close() // before it is polled, too
		ctx, cancel := context.WithCancel(t.Context())
		if got, err := sub.Poll(ctx); len(got) != 3 || err != nil {
			t.Errorf("%d events, %v", len(got), err)
		}
		<-reached
		time.AfterFunc(time.Millisecond, cancel)
		if _, err := sub.Poll(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want that of the context", err)
		}
		sub.Close()
		if n := s.inside.Load(); n != 0 {
			t.Errorf("%d calls are inside the store of a subscription that is closed", n)
		}
		s.stuck = func(string) bool { return false }
		if got, err := sub.Poll(t.Context()); len(got) == 0 || err != nil {
			t.Errorf("polled again: %d events, %v", len(got), err)
		}
		sub.Close()
	})
}
