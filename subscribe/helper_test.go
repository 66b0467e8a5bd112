package subscribe_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
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

// quick are the options of a runner whose tests shall not take long. The TTL is long, for
// a machine so busy that a session is not heard of for seconds; tests of what comes
// behind it set their own.
func quick(t *testing.T) subscribe.RunnerOptions {
	return subscribe.RunnerOptions{
		LeaseTTL: 10 * time.Second, Recheck: 50 * time.Millisecond, PollInterval: 50 * time.Millisecond,
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

// say adds something that is no event.
func (r *record) say(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, what)
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
