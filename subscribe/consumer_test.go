package subscribe_test

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/backends"
	"github.com/peatlog/peat/subscribe"
)

func TestUnknownEventsStopOrAreSkipped(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		write(t, log, "a", 1)
		if _, err := log.Append(t.Context(), noteStream("a"), es.Any, es.EventData{Type: "note.erased", Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		write(t, log, "a", 2)
		var strict, skipping record
		skip := consumer("skipping", subscribe.AtLeastOnce(subscribe.Each(notes.Of("note"), &skipping)))
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
