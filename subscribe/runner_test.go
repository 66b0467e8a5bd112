package subscribe_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/internal/backends"
	"github.com/peatlog/peat/subscribe"
)

// note is the event union of the runner's tests.
type note interface {
	es.Event
	isNote()
}

type noted struct{ N int }

func (noted) EventType() string { return "note.noted" }
func (noted) isNote()           {}

var notes = codec.NewUnion(codec.Case(func(e noted) note { return e }))

// number returns what was noted.
func number(e es.Envelope[note]) int { return e.Event.(noted).N }

// noteOf returns an event ready to be appended.
func noteOf(n int) es.EventData {
	return es.EventData{Type: "note.noted", Data: fmt.Appendf(nil, `{"N": %d}`, n)}
}

func noteStream(key string) es.StreamID { return es.StreamID{Category: "note", Key: key} }

// write appends notes to a stream.
func write(t testing.TB, s es.Appender, key string, numbers ...int) es.AppendResult {
	t.Helper()
	events := make([]es.EventData, len(numbers))
	for i, n := range numbers {
		events[i] = noteOf(n)
	}
	result, err := s.Append(t.Context(), noteStream(key), es.Any, events...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// inBothStores runs a test of a runner on an empty log of each store.
func inBothStores(t *testing.T, test func(t *testing.T, store subscribe.RunnerStore, log es.Store)) {
	t.Helper()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		store, ok := b.Store.(subscribe.RunnerStore)
		if !ok {
			t.Fatalf("%T is no store for a runner", b.Store)
		}
		test(t, store, b.Store)
	})
}

// quick are the options of a runner whose tests shall not take long.
func quick(t *testing.T) subscribe.RunnerOptions {
	return subscribe.RunnerOptions{
		LeaseTTL: 2 * time.Second, Recheck: 50 * time.Millisecond, PollInterval: 50 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// consumer is one of the tests': of the notes, with short pauses.
func consumer(name string, d subscribe.Delivery) subscribe.Consumer {
	return subscribe.Consumer{
		Name: name, Delivery: d, Filter: es.Filter{Categories: []string{"note"}},
		Attempts: 2, RetryDelay: time.Millisecond,
	}
}

func newRunner(t *testing.T, store subscribe.RunnerStore, consumers ...subscribe.Consumer) *subscribe.Runner {
	t.Helper()
	r, err := subscribe.NewRunner(store, quick(t), consumers...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs a runner until stop is called, at the latest when the test ends.
func start(t *testing.T, r *subscribe.Runner) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// record is what a handler was given.
type record struct {
	mu   sync.Mutex
	seen []string // stream/number
}

func (r *record) add(e es.Envelope[note]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, e.Stream.Key+"/"+strconv.Itoa(number(e)))
}

func (r *record) Handle(_ context.Context, e es.Envelope[note]) error {
	r.add(e)
	return nil
}

func (r *record) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.seen...)
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) { // a poll with a deadline
		if time.Now().After(deadline) {
			t.Fatalf("after 20 s: not %s", what)
		}
	}
}

// want waits until as much was delivered as is wanted, and compares.
func (r *record) want(t *testing.T, want ...string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); len(r.all()) < len(want) && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	if diff := gocmp.Diff(want, r.all()); diff != "" {
		t.Errorf("delivered (-want +got):\n%s", diff)
	}
}

func TestRunnerDeliversWhatIsThereAndWhatComes(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		var each, batch, raw record
		r := newRunner(t, store,
			consumer("each", subscribe.AtLeastOnce(subscribe.Each(notes, &each))),
			consumer("batch", subscribe.AtLeastOnce(subscribe.Batch(notes, func(_ context.Context, all []es.Envelope[note]) error {
				for _, e := range all {
					batch.add(e)
				}
				return nil
			}))),
			subscribe.Consumer{Name: "raw", Delivery: subscribe.AtLeastOnce(subscribe.EachRecorded(func(_ context.Context, rec es.Recorded) error {
				e, err := es.Decode(notes, rec)
				raw.add(e)
				return err
			}))})
		write(t, log, "a", 1, 2)
		stop := start(t, r)
		for _, got := range []*record{&each, &batch, &raw} {
			got.want(t, "a/1", "a/2")
		}
		write(t, log, "b", 3)
		write(t, log, "a", 4)
		for _, got := range []*record{&each, &batch, &raw} {
			got.want(t, "a/1", "a/2", "b/3", "a/4")
		}
		stop()
		write(t, log, "a", 5)
		stop = start(t, r) // goes on where it was
		for _, got := range []*record{&each, &batch, &raw} {
			got.want(t, "a/1", "a/2", "b/3", "a/4", "a/5")
		}
		stop()
	})
}

// The handler's context carries the event as the cause.
func TestHandlersKnowTheCause(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		first := noteOf(1)
		first.Metadata = es.Metadata{CorrelationID: "request 7", Actor: "ann"}
		if _, err := log.Append(t.Context(), noteStream("a"), es.NoStream, first); err != nil {
			t.Fatal(err)
		}
		start(t, newRunner(t, store, consumer("answers", subscribe.AtLeastOnce(subscribe.Each(notes, subscribe.Func[note](
			func(ctx context.Context, e es.Envelope[note]) error {
				if number(e) == 3 {
					return nil
				}
				_, err := log.Append(ctx, noteStream("b"), es.Exact(int64(number(e)-1)), noteOf(number(e)+1))
				return err
			}))))))
		var answers []es.Recorded
		eventually(t, "answered twice", func() bool {
			answers = nil
			for e, err := range log.ReadStream(t.Context(), noteStream("b"), es.ReadOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				answers = append(answers, e)
			}
			return len(answers) == 2
		})
		for i, e := range answers {
			if e.Metadata.CorrelationID != "request 7" || e.Metadata.Actor != "ann" || e.Metadata.CausationID == "" {
				t.Errorf("answer %d has the metadata %+v", i+1, e.Metadata)
			}
		}
		if answers[1].Metadata.CausationID != answers[0].ID.String() {
			t.Errorf("the second answer is caused by %s, want %s", answers[1].Metadata.CausationID, answers[0].ID)
		}
	})
}

// Rows B12, B13, W5.
func TestFailingHandlerStopsAloneAndWithoutAHole(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(ctx context.Context) error{
		"error": func(context.Context) error { return errors.New("no such account") },
		"panic": func(context.Context) error { panic("no such account") },
		"hang":  func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("no such account: %w", ctx.Err()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
				var failing, other record
				calls := 0
				bad := consumer("failing", subscribe.AtLeastOnce(subscribe.Each(notes, subscribe.Func[note](func(ctx context.Context, e es.Envelope[note]) error {
					if number(e) == 3 {
						calls++
						return fail(ctx)
					}
					return failing.Handle(ctx, e)
				}))))
				bad.HandleTimeout = 50 * time.Millisecond
				r := newRunner(t, store, bad, consumer("other", subscribe.AtLeastOnce(subscribe.Each(notes, &other))))
				stop := start(t, r)
				write(t, log, "a", 1, 2, 3, 4)
				write(t, log, "b", 5)
				other.want(t, "a/1", "a/2", "a/3", "a/4", "b/5")
				var status []subscribe.ConsumerStatus
				eventually(t, "stopped", func() bool {
					var err error
					if status, err = r.Status(t.Context()); err != nil {
						t.Fatal(err)
					}
					return status[0].Readers[0].Error != ""
				})
				if got := status[0].Readers[0]; !strings.Contains(got.Error, "no such account") || !strings.Contains(got.Error, "note-a version 3") || got.Lag.Events != 3 {
					t.Errorf("status of the failing consumer: %+v", got)
				}
				write(t, log, "b", 6)
				other.want(t, "a/1", "a/2", "a/3", "a/4", "b/5", "b/6")
				failing.want(t, "a/1", "a/2")
				stop()
				if calls != 2 {
					t.Errorf("the event was handed over %d times, want 2", calls)
				}
				// Alone, Run ends with the error.
				if name == "hang" {
					return
				}
				err := newRunner(t, store, bad).Run(t.Context())
				stopped, ok := errors.AsType[*subscribe.DeliveryError](err)
				if !ok || stopped.Event.Version != 3 || stopped.Attempts != 2 {
					t.Errorf("Run: %v, want a DeliveryError", err)
				}
				if _, panicked := errors.AsType[*subscribe.PanicError](err); panicked != (name == "panic") {
					t.Errorf("Run: %v, a PanicError: %v", err, panicked)
				}
			})
		})
	}
}

// Rows B48: a batch that fails is retried whole; when its attempts are used up, the
// runner finds the event that it fails on.
func TestFailingBatchIsTakenApart(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		write(t, log, "a", 1, 2, 3, 4)
		write(t, log, "b", 5)
		var got record
		var sizes []int
		c := consumer("batch", subscribe.AtLeastOnce(subscribe.Batch(notes, func(_ context.Context, all []es.Envelope[note]) error {
			sizes = append(sizes, len(all))
			for _, e := range all {
				if number(e) == 3 {
					return errors.New("three")
				}
			}
			for _, e := range all {
				got.add(e)
			}
			return nil
		})))
		c.OnFailure = subscribe.Park
		r := newRunner(t, store, c)
		stop := start(t, r)
		got.want(t, "a/1", "a/2", "b/5")
		stop()
		// Twice the batch, then each alone, the third one twice.
		if diff := gocmp.Diff([]int{5, 5, 1, 1, 1, 1, 1}, sizes); diff != "" {
			t.Errorf("sizes of the batches (-want +got):\n%s", diff)
		}
		parked, err := r.Parked(t.Context(), "batch")
		if err != nil || len(parked) != 2 || parked[0].Version != 3 || parked[0].Error != "three" || parked[1].Version != 4 || parked[1].Error != "" {
			t.Errorf("parked: %+v, %v", parked, err)
		}
	})
}

// A stream whose event fails is set aside, the others go on; after the fix, what was
// set aside is delivered in order and then joined by what comes.
func TestParkAndRedrive(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		var got record
		var mu sync.Mutex
		broken := map[int]bool{3: true}
		set := func(n int, is bool) { mu.Lock(); defer mu.Unlock(); broken[n] = is }
		c := consumer("parking", subscribe.AtLeastOnce(subscribe.Each(notes, subscribe.Func[note](func(ctx context.Context, e es.Envelope[note]) error {
			mu.Lock()
			defer mu.Unlock()
			if broken[number(e)] {
				return fmt.Errorf("cannot do %d", number(e))
			}
			return got.Handle(ctx, e)
		}))))
		c.OnFailure = subscribe.Park
		r := newRunner(t, store, c)
		stop := start(t, r)
		write(t, log, "a", 1, 2, 3, 4)
		write(t, log, "b", 10)
		last := write(t, log, "a", 5)
		write(t, log, "b", 11)
		got.want(t, "a/1", "a/2", "b/10", "b/11")
		if err := r.WaitFor(t.Context(), "parking", last); !errors.Is(err, subscribe.ErrParked) {
			t.Errorf("WaitFor a parked event: %v, want ErrParked", err)
		}
		wantParked := func(want ...int64) {
			t.Helper()
			eventually(t, fmt.Sprintf("parked %v", want), func() bool {
				parked, err := r.Parked(t.Context(), "parking")
				if err != nil {
					t.Fatal(err)
				}
				var versions []int64
				for _, p := range parked {
					versions = append(versions, p.Version)
				}
				return gocmp.Equal(want, versions)
			})
		}
		wantParked(3, 4, 5)
		stop()
		stop = start(t, r) // the set of parked streams is not only in memory
		write(t, log, "a", 6)
		wantParked(3, 4, 5, 6)

		// The first fix is not enough: 4 fails, and stays with those behind it.
		set(3, false)
		set(4, true)
		if n, err := r.Redrive(t.Context(), "parking", noteStream("a")); n != 4 || err != nil {
			t.Errorf("redrive: %d, %v", n, err)
		}
		got.want(t, "a/1", "a/2", "b/10", "b/11", "a/3")
		wantParked(4, 5, 6)
		eventually(t, "parked with the new reason", func() bool {
			parked, err := r.Parked(t.Context(), "parking")
			if err != nil {
				t.Fatal(err)
			}
			return strings.Contains(parked[0].Error, "cannot do 4") && parked[0].Attempts == 2 && !parked[0].Redrive
		})

		// 4 is given up, and the rest delivered, also what comes.
		if err := r.Discard(t.Context(), "parking", noteStream("a"), 4, "ann", "a duplicate of 3"); err != nil {
			t.Error(err)
		}
		if err := r.Discard(t.Context(), "parking", noteStream("a"), 4, "ann", "again"); !errors.Is(err, es.ErrNotParked) {
			t.Errorf("discard again: %v, want ErrNotParked", err)
		}
		if err := r.Discard(t.Context(), "parking", noteStream("a"), 5, "", ""); err == nil {
			t.Error("discarded without a reason")
		}
		if _, err := r.Redrive(t.Context(), "parking", es.StreamID{}); err != nil {
			t.Error(err)
		}
		got.want(t, "a/1", "a/2", "b/10", "b/11", "a/3", "a/5", "a/6")
		write(t, log, "a", 7)
		got.want(t, "a/1", "a/2", "b/10", "b/11", "a/3", "a/5", "a/6", "a/7")
		wantParked()
		given, err := r.Discarded(t.Context(), "parking")
		if err != nil || len(given) != 1 || given[0].Version != 4 || given[0].By != "ann" || given[0].Reason != "a duplicate of 3" {
			t.Errorf("discarded: %+v, %v", given, err)
		}
		stop()
	})
}

func TestUnknownEventsStopOrAreSkipped(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		write(t, log, "a", 1)
		if _, err := log.Append(t.Context(), noteStream("a"), es.Any, es.EventData{Type: "note.erased", Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		write(t, log, "a", 2)
		var strict, skipping record
		skip := consumer("skipping", subscribe.AtLeastOnce(subscribe.Each(notes, &skipping)))
		skip.SkipUnknown = true
		strictly := consumer("strict", subscribe.AtLeastOnce(subscribe.Each(notes, &strict)))
		stop := start(t, newRunner(t, store, skip))
		skipping.want(t, "a/1", "a/2")
		stop()
		err := newRunner(t, store, strictly).Run(t.Context())
		if !errors.Is(err, codec.ErrUnknownEvent) || !errors.Is(err, es.ErrDecode) {
			t.Errorf("Run: %v, want ErrUnknownEvent", err)
		}
		strict.want(t, "a/1")
	})
}

// Every stream is in one segment, and all that was written is delivered.
func TestSegmentsDivideTheStreams(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		const streams, each = 20, 5
		for n := range each {
			for s := range streams {
				write(t, log, strconv.Itoa(s), n)
			}
		}
		var got record
		c := consumer("divided", subscribe.AtLeastOnce(subscribe.Each(notes, &got)))
		c.Segments = 4
		r := newRunner(t, store, c)
		stop := start(t, r)
		eventually(t, "all delivered", func() bool { return len(got.all()) >= streams*each })
		stop()
		next := map[string]int{}
		for _, s := range got.all() {
			key, number, _ := strings.Cut(s, "/")
			if number != strconv.Itoa(next[key]) {
				t.Errorf("%s comes where %d is due", s, next[key])
			}
			next[key]++
		}
		status, err := r.Status(t.Context())
		if err != nil || len(status[0].Readers) != 4 {
			t.Fatalf("%+v, %v", status, err)
		}
		for i, reader := range status[0].Readers {
			if want := "divided@1." + strconv.Itoa(i) + "of4"; reader.Subscription != want || reader.Lag.Events != 0 || reader.Held {
				t.Errorf("reader %d: %+v", i, reader)
			}
		}
		// Another number of segments is not taken for the same: the stored one counts.
		c.Segments = 2
		stop = start(t, newRunner(t, store, c))
		write(t, log, "late", 0)
		eventually(t, "delivered", func() bool { return len(got.all()) == streams*each+1 })
		stop()
	})
}

func TestWaitForSeesTheOwnWrite(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		const writers, each = 16, 10
		var mu sync.Mutex
		seen := map[es.StreamID]int64{}
		c := consumer("model", subscribe.AtLeastOnce(subscribe.Each(notes, subscribe.Func[note](func(_ context.Context, e es.Envelope[note]) error {
			mu.Lock()
			defer mu.Unlock()
			seen[e.Stream] = e.Version
			return nil
		}))))
		c.Segments = 2
		r := newRunner(t, store, c)
		start(t, r)
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for n := range each {
					result, err := log.Append(t.Context(), noteStream(strconv.Itoa(w)), es.Exact(int64(n)), noteOf(n))
					if err := cmp.Or(err, r.WaitFor(t.Context(), "model", result)); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if seen[noteStream(strconv.Itoa(w))] < result.Version {
						t.Errorf("version %d of stream %d is not there after WaitFor", result.Version, w)
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		// What the filter skips is waited for as well, and does not last.
		skipped, err := log.Append(t.Context(), es.StreamID{Category: "other", Key: "1"}, es.Any, noteOf(1))
		if err := cmp.Or(err, r.WaitFor(t.Context(), "model", skipped)); err != nil {
			t.Error(err)
		}
		if err := r.WaitFor(t.Context(), "nobody", skipped); err == nil {
			t.Error("waited for a consumer that there is not")
		}
	})
}

// Waiting ends with the reader, not only with the context.
func TestWaitForAStoppedConsumerEnds(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		r := newRunner(t, store, consumer("bad", subscribe.AtLeastOnce(subscribe.Each(notes, subscribe.Func[note](
			func(context.Context, es.Envelope[note]) error { return errors.New("bad luck") })))))
		result := write(t, log, "a", 1)
		ended := make(chan error, 1)
		go func() { ended <- r.Run(t.Context()) }()
		if err := r.WaitFor(t.Context(), "bad", result); !errors.Is(err, subscribe.ErrStopped) || !strings.Contains(err.Error(), "bad luck") {
			t.Errorf("WaitFor: %v, want ErrStopped with the reason", err)
		}
		if err := <-ended; err == nil {
			t.Error("Run ended without an error")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		good := newRunner(t, store, consumer("good", subscribe.AtLeastOnce(subscribe.Each(notes, new(record)))))
		if err := good.WaitFor(ctx, "good", result); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("WaitFor nobody: %v, want the context's end", err)
		}
	})
}

func TestConfigurationFaultsComeAllAtOnce(t *testing.T) {
	t.Parallel()
	store := backends.NewSQLite(t).Store
	var got record
	d := subscribe.AtLeastOnce(subscribe.Each(notes, &got), subscribe.Each(notes, &got))
	_, err := subscribe.NewRunner(store, subscribe.RunnerOptions{LeaseTTL: time.Millisecond, Recheck: -1, PollInterval: 1},
		subscribe.Consumer{},
		subscribe.Consumer{Name: "a@b", Delivery: d, Segments: 1000, Attempts: -1, OnFailure: 7, RetryDelay: 1, Filter: es.Filter{Segments: 2}},
		subscribe.Consumer{Name: "twice", Delivery: subscribe.AtLeastOnce(subscribe.Each(notes, &got)), BatchEvents: -1},
		subscribe.Consumer{Name: "twice", Delivery: subscribe.AtLeastOnce()},
	)
	for _, want := range []string{
		"LeaseTTL", "Recheck", "PollInterval", "the Name is empty", "no Delivery", "contains '@'", "two handlers take", "Segments is 1000", "Attempts",
		"OnFailure", "RetryDelay", "Filter.Segments", "name the Categories", "negative limit", "two consumers \"twice\"", "no handler",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the error:\n%v", want, err)
		}
	}
	if _, err := subscribe.NewRunner(store, subscribe.RunnerOptions{}); err == nil || !strings.Contains(err.Error(), "no consumer") {
		t.Errorf("a runner of nothing: %v", err)
	}
}

func TestAllYieldsTheLog(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		var want []int
		for n := range 25 {
			write(t, log, strconv.Itoa(n%3), n)
			want = append(want, n)
		}
		var got []int
		for e, err := range subscribe.All(t.Context(), store, notes, subscribe.Options{BatchEvents: 4}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, number(e))
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for _, err := range subscribe.All(t.Context(), store, notes, subscribe.Options{}) {
			if err != nil {
				t.Error(err)
			}
			break
		}
		if _, err := log.Append(t.Context(), noteStream("0"), es.Any, es.EventData{Type: "note.erased", Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		var last error
		for _, err := range subscribe.All(t.Context(), store, notes, subscribe.Options{}) {
			last = err
		}
		if !errors.Is(last, codec.ErrUnknownEvent) {
			t.Errorf("ends with %v, want ErrUnknownEvent", last)
		}
	})
}
