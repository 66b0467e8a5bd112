package subscribe_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

// handleTracer puts the handlers into a trace, "" for none, and keeps their errors.
type handleTracer struct {
	traceParent string

	mu   sync.Mutex
	errs []error
}

func (h *handleTracer) TraceHandle(ctx context.Context, _ subscribe.Handling) (context.Context, func(int, error)) {
	return es.WithMetadata(ctx, es.Metadata{TraceParent: h.traceParent}), func(_ int, err error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.errs = append(h.errs, err)
	}
}

func (h *handleTracer) TraceParked(context.Context, string, es.Failure) {}

// What a handler appends is in the trace of the tracer, and without one in that of
// the event.
func TestHandlersAppendInTheTraceOfTheTracer(t *testing.T) {
	t.Parallel()
	for traceParent, want := range map[string]string{"tracer": "tracer", "": "event"} {
		t.Run("tracer has "+traceParent, func(t *testing.T) {
			t.Parallel()
			inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
				event := noteOf(1)
				event.Metadata = es.Metadata{TraceParent: "event"}
				result, err := log.Append(t.Context(), noteStream("a"), es.NoStream, event)
				if err != nil {
					t.Fatal(err)
				}
				opts := quick(t)
				opts.Tracers.Handle = &handleTracer{traceParent: traceParent}
				c := consumer("answers", subscribe.AtLeastOnce(subscribe.Each(notes, subscribe.Func[note](func(ctx context.Context, _ es.Envelope[note]) error {
					_, err := log.Append(ctx, es.StreamID{Category: "answer", Key: "a"}, es.NoStream, noteOf(2))
					return err
				}))))
				r, err := subscribe.NewRunner(store, opts, c)
				if err != nil {
					t.Fatal(err)
				}
				start(t, r)
				if err := r.WaitFor(t.Context(), "answers", result); err != nil {
					t.Fatal(err)
				}
				for e, err := range log.ReadStream(t.Context(), es.StreamID{Category: "answer", Key: "a"}, es.ReadOptions{}) {
					if err != nil || e.Metadata.TraceParent != want || e.Metadata.CausationID == "" {
						t.Errorf("the answer has the metadata %+v, %v; want the trace parent %q", e.Metadata, err, want)
					}
				}
			})
		})
	}
}

// Tracers are told the error of a handler as the handler returned it.
func TestTracersGetTheErrorOfTheHandler(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		write(t, log, "a", 1)
		tracer := &handleTracer{}
		opts := quick(t)
		opts.Tracers.Handle = tracer
		failure, calls := errors.New("the first time"), 0
		r, err := subscribe.NewRunner(store, opts, consumer("failing", subscribe.AtLeastOnce(subscribe.EachRecorded(func(context.Context, es.Recorded) error {
			if calls++; calls == 1 {
				return failure
			}
			return nil
		}))))
		if err != nil {
			t.Fatal(err)
		}
		stop := start(t, r)
		if err := r.WaitFor(t.Context(), "failing", es.AppendResult{Position: 1}); err != nil {
			t.Fatal(err)
		}
		stop()
		var kinds []string
		for _, err := range tracer.errs {
			kinds = append(kinds, fmt.Sprintf("%T", err))
		}
		if diff := gocmp.Diff([]string{"*errors.errorString", "<nil>"}, kinds); diff != "" {
			t.Errorf("errors (-want +got):\n%s", diff)
		}
	})
}
