package otelpeat_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/internal/backends"
	"github.com/peatlog/peat/subscribe"
)

const attributes = "peat.consumer=balances,peat.subscription=balances"

// answering appends an answer to each event.
func answering(s es.Appender) func(context.Context, es.Recorded) error {
	return func(ctx context.Context, e es.Recorded) error {
		_, err := s.Append(ctx, es.StreamID{Category: "answer", Key: e.Stream.Key}, es.NoStream, es.EventData{Type: "answered", Data: []byte(`{}`)})
		return err
	}
}

func TestHandlingIsLinkedToTheAppend(t *testing.T) {
	t.Parallel()
	backends.EachTraced(t, func(t *testing.T, open func(es.Tracers) estest.Backend) {
		b := newBackend(t)
		store, ok := open(b.Store()).Store.(interface {
			subscribe.RunnerStore
			es.Store
		})
		if !ok {
			t.Fatal("the store is none for a runner")
		}
		result := mustAppend(t.Context(), t, store, account("1"), deposited())
		r, stop := start(t, store, b.Runner(), balances(subscribe.AtLeastOnce(subscribe.EachRecorded(answering(store)))))
		if err := r.WaitFor(t.Context(), "balances", result); err != nil {
			t.Fatal(err)
		}
		stop()
		checkHandling(t, b, traceParents(t, store, es.StreamID{Category: "answer", Key: "1"}))
	})
}

// checkHandling checks the spans of an event and of the answer to it.
func checkHandling(t *testing.T, b *backend, answered []string) {
	t.Helper()
	appended, handle, answer := b.one(t, "append account"), b.one(t, "handle balances"), b.one(t, "append answer")
	if len(handle.Links) != 1 || handle.Links[0].SpanContext.SpanID() != appended.SpanContext.SpanID() || handle.Links[0].SpanContext.TraceID() != appended.SpanContext.TraceID() {
		t.Errorf("the handling has the links %v, want one to %v", handle.Links, appended.SpanContext)
	}
	if handle.SpanKind != trace.SpanKindConsumer || handle.Status.Code != codes.Unset || handle.Parent.IsValid() {
		t.Errorf("the handling has the kind %v, the status %v and the parent %v", handle.SpanKind, handle.Status, handle.Parent)
	}
	if answer.Parent.SpanID() != handle.SpanContext.SpanID() {
		t.Errorf("the answer is within %v, want the handling %v", answer.Parent.SpanID(), handle.SpanContext.SpanID())
	}
	wantEqual(t, "trace parent of the answer", []string{traceParent(answer.SpanContext)}, answered)
	for key, want := range map[string]string{
		"messaging.system": "peat", "messaging.operation.name": "handle", "messaging.operation.type": "process", "peat.attempt": "1",
		"messaging.consumer.group.name": "balances", "messaging.destination.subscription.name": "balances", "messaging.batch.message_count": "1",
	} {
		if got := attr(handle.Attributes, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	// One that the end of the runner interrupts is no poll.
	polls := slices.DeleteFunc(b.named("poll balances"), func(s tracetest.SpanStub) bool { return s.Status.Code == codes.Error })
	if len(polls) == 0 || polls[0].SpanKind != trace.SpanKindClient || attr(polls[0].Attributes, "messaging.batch.message_count") != "1" {
		t.Errorf("polls: %+v, want the first one with 1 event", polls)
	}
	b.wantNumbers(t, "peat.delivered", map[string]int64{"peat.category=account," + attributes: 1})
	b.wantNumbers(t, "peat.retries", map[string]int64{})
	b.wantCounts(t, "peat.handle.duration", map[string]uint64{attributes: 1})
	b.wantCounts(t, "peat.poll.batch_size", map[string]uint64{attributes: uint64(len(polls))})
	b.wantNumbers(t, "peat.lease.changes", map[string]int64{
		"peat.consumer=balances,peat.held=true,peat.subscription=balances": 1, "peat.consumer=balances,peat.held=false,peat.subscription=balances": 1,
	})
	b.wantNumbers(t, "peat.appended", map[string]int64{"peat.category=account": 1, "peat.category=answer": 1})
}

// What a handler appends is in the handling's trace, also where the store is not
// traced or the appends are in the delivery's transaction.
func TestHandlersAppendWithinTheHandling(t *testing.T) {
	t.Parallel()
	for name, traced := range map[string]bool{"traced store": true, "store that is not traced": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			var tracers es.Tracers
			if traced {
				tracers = b.Store()
			}
			store := onSQLite(t, tracers)
			event := deposited()
			event.Metadata.TraceParent = given
			result := mustAppend(t.Context(), t, store, account("1"), event)
			r, stop := start(t, store, b.Runner(), balances(subscribe.Transactional(store, inTx(func(ctx context.Context, tx *sql.Tx, e es.Recorded) error {
				return answering(store.Join(tx))(ctx, e)
			}))))
			if err := r.WaitFor(t.Context(), "balances", result); err != nil {
				t.Fatal(err)
			}
			stop()
			span := b.one(t, "handle balances")
			if len(span.Links) != 1 || span.Links[0].SpanContext.SpanID().String() != "b7ad6b7169203331" {
				t.Errorf("links %v", span.Links)
			}
			if traced {
				span = b.one(t, "append answer")
			}
			wantEqual(t, "trace parents", []string{traceParent(span.SpanContext)}, traceParents(t, store, es.StreamID{Category: "answer", Key: "1"}))
		})
	}
}

func TestFailingHandlersAreErrorsAndRetriesAreCounted(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	store := onSQLite(t, b.Store())
	mustAppend(t.Context(), t, store, account("1"), deposited(), deposited())
	last := mustAppend(t.Context(), t, store, account("2"), deposited())
	c := balances(subscribe.AtLeastOnce(subscribe.EachRecorded(func(_ context.Context, e es.Recorded) error {
		if e.Stream == account("1") {
			panic("no such account")
		}
		return nil
	})))
	c.OnFailure = subscribe.Park
	r, stop := start(t, store, b.Runner(), c)
	if err := r.WaitFor(t.Context(), "balances", last); err != nil {
		t.Fatal(err)
	}
	stop()
	handles := b.named("handle balances")
	var got []string
	for _, s := range handles {
		got = append(got, fmt.Sprint(attr(s.Attributes, "peat.attempt"), " ", s.Status.Code, " ", attr(s.Attributes, "error.type")))
	}
	wantEqual(t, "handlings", []string{"1 Error *subscribe.PanicError", "2 Error *subscribe.PanicError", "1 Unset "}, got)
	if e := handles[0].Events; len(e) != 1 || !strings.Contains(attr(e[0].Attributes, "exception.message"), "no such account") ||
		!strings.Contains(attr(e[0].Attributes, "exception.stacktrace"), "runner_test.go") {
		t.Errorf("the failure is recorded as %v", e)
	}
	b.wantNumbers(t, "peat.retries", map[string]int64{attributes: 1})
	b.wantNumbers(t, "peat.parked", map[string]int64{attributes: 2})
	b.wantNumbers(t, "peat.delivered", map[string]int64{"peat.category=account," + attributes: 1})
	b.wantCounts(t, "peat.handle.duration", map[string]uint64{"error.type=*subscribe.PanicError," + attributes: 2, attributes: 1})
	b.wantCounts(t, "peat.checkpoint.duration", map[string]uint64{attributes: 1})
}

func TestSegmentsAreSubscriptionsOfTheirConsumer(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.TraceParked(t.Context(), "balances@1.0of2", es.Failure{})
	b.TraceCheckpoint(t.Context(), "balances@1.1of2", time.Second, errors.New("failed"))
	b.wantNumbers(t, "peat.parked", map[string]int64{"peat.consumer=balances,peat.subscription=balances@1.0of2": 1})
	b.wantCounts(t, "peat.checkpoint.duration", map[string]uint64{"error.type=*errors.errorString,peat.consumer=balances,peat.subscription=balances@1.1of2": 1})
}

func TestFailedPollsHaveNoBatch(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	_, done := b.TracePoll(t.Context(), "balances")
	done(0, errors.New("no connection"))
	if span := b.one(t, "poll balances"); span.Status.Code != codes.Error {
		t.Errorf("status %v", span.Status)
	}
	b.wantCounts(t, "peat.poll.batch_size", map[string]uint64{})
}

// A span links to each append once, to 128 at most, and to nothing that is no trace
// parent.
func TestLinksAreBounded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ appends, each, want int }{
		"one append":  {appends: 1, each: 10, want: 1},
		"few appends": {appends: 100, each: 3, want: 100},
		"many":        {appends: 300, each: 2, want: 128},
		"none":        {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			events := []es.Recorded{{}, {Metadata: es.Metadata{TraceParent: "nonsense"}}}
			for range test.each {
				for i := range test.appends {
					events = append(events, es.Recorded{Metadata: es.Metadata{TraceParent: fmt.Sprintf("00-0af7651916cd43dd8448eb211c80319c-%016x-01", i+1)}})
				}
			}
			_, done := b.TraceHandle(t.Context(), subscribe.Handling{Consumer: "balances", Subscription: "balances", Events: events, Attempt: 1})
			done(0, nil)
			span := b.one(t, "handle balances")
			ids := map[string]bool{}
			for _, l := range span.Links {
				ids[l.SpanContext.SpanID().String()] = true
			}
			if len(span.Links) != test.want || len(ids) != test.want {
				t.Errorf("%d links to %d spans, want %d", len(span.Links), len(ids), test.want)
			}
		})
	}
}

// inTx is a handler for every event, in the delivery's transaction.
func inTx(handle func(ctx context.Context, tx *sql.Tx, e es.Recorded) error) subscribe.Handler[*sql.Tx] {
	return subscribe.EachIn(anyEvent{}, func(ctx context.Context, tx *sql.Tx, e es.Envelope[none]) error { return handle(ctx, tx, e.Recorded) })
}

// none is an event whose payload does not matter.
type none struct{}

func (none) EventType() string { return "account.deposited" }

type anyEvent struct{}

func (anyEvent) Decode(string, []byte, bool) (none, error) { return none{}, nil }
func (anyEvent) Names() []string                           { return []string{none{}.EventType()} }
