package subscribe_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

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
