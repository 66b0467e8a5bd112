package otelpeat_test

import (
	"context"
	"errors"
	"testing"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/otelpeat"
)

func TestEventsCarryTheSpanOfTheirAppend(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	store := onSQLite(t, b.Store())
	ctx, request := b.tracing.Tracer("test").Start(t.Context(), "request")
	mustAppend(ctx, t, store, account("1"), deposited(), deposited())
	request.End()
	span := b.one(t, "append account")
	if span.Parent.SpanID() != request.SpanContext().SpanID() || span.SpanKind != trace.SpanKindProducer {
		t.Errorf("parent %v, kind %v; want the request and a producer", span.Parent.SpanID(), span.SpanKind)
	}
	for key, want := range map[string]string{
		"messaging.system": "peat", "messaging.operation.name": "append", "messaging.operation.type": "send",
		"messaging.destination.name": "account", "messaging.batch.message_count": "2", "peat.duplicate": "",
	} {
		if got := attr(span.Attributes, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	want := traceParent(span.SpanContext)
	wantEqual(t, "trace parents", []string{want, want}, traceParents(t, store, account("1")))
	load := b.one(t, "load account")
	if got := attr(load.Attributes, "messaging.batch.message_count"); got != "2" || load.Status.Code != codes.Unset {
		t.Errorf("the load has %s events and the status %v", got, load.Status)
	}
	b.wantNumbers(t, "peat.appended", map[string]int64{"peat.category=account": 2})
}

const given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// Who gives a trace parent keeps it, but an active span goes before that of a context.
func TestGivenTraceParents(t *testing.T) {
	t.Parallel()
	inMetadata := func(ctx context.Context) context.Context {
		return es.WithMetadata(ctx, es.Metadata{TraceParent: given})
	}
	for name, test := range map[string]struct {
		active, inContext, inEvent bool
		wantGiven, wantJoined      bool
	}{
		"nothing":                       {},
		"active span":                   {active: true},
		"in the context":                {inContext: true, wantGiven: true, wantJoined: true},
		"in the context, active span":   {inContext: true, active: true},
		"in the event":                  {inEvent: true, wantGiven: true},
		"in the event, active span":     {inEvent: true, active: true, wantGiven: true},
		"in the event, in the context":  {inEvent: true, inContext: true, wantGiven: true, wantJoined: true},
		"in the event, context, active": {inEvent: true, inContext: true, active: true, wantGiven: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			store := onSQLite(t, b.Store())
			ctx, parent, event := t.Context(), "0000000000000000", deposited()
			if test.active {
				var span trace.Span
				ctx, span = b.tracing.Tracer("test").Start(ctx, "request")
				defer span.End()
				parent = span.SpanContext().SpanID().String()
			}
			if test.inContext {
				ctx = inMetadata(ctx)
			}
			if test.inEvent {
				event.Metadata.TraceParent = given
			}
			if test.wantJoined {
				parent = "b7ad6b7169203331"
			}
			mustAppend(ctx, t, store, account("1"), event)
			span := b.one(t, "append account")
			want := given
			if !test.wantGiven {
				want = traceParent(span.SpanContext)
			}
			wantEqual(t, "trace parents", []string{want}, traceParents(t, store, account("1")))
			wantEqual(t, "parent", parent, span.Parent.SpanID().String())
		})
	}
}

func TestFailedAppendsAreErrorsAndRepeatedOnesCountOnce(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	store := onSQLite(t, b.Store())
	event := deposited()
	event.ID = [16]byte{1}
	mustAppend(t.Context(), t, store, account("1"), event)
	mustAppend(t.Context(), t, store, account("1"), event)
	if _, err := store.Append(t.Context(), account("1"), es.NoStream, deposited()); !errors.Is(err, es.ErrConflict) {
		t.Fatal(err)
	}
	spans := b.named("append account")
	if len(spans) != 3 {
		t.Fatalf("%d spans, want 3", len(spans))
	}
	if attr(spans[1].Attributes, "peat.duplicate") != "true" || spans[1].Status.Code != codes.Unset {
		t.Errorf("the repeated append has the attributes %v and the status %v", spans[1].Attributes, spans[1].Status)
	}
	conflict := spans[2]
	if conflict.Status.Code != codes.Error || len(conflict.Events) != 1 || attr(conflict.Attributes, "error.type") != "*es.ConflictError" {
		t.Errorf("the conflict has the status %v, the events %v and the attributes %v", conflict.Status, conflict.Events, conflict.Attributes)
	}
	b.wantNumbers(t, "peat.appended", map[string]int64{"peat.category=account": 1})
}

func TestFailedLoadsAreErrors(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	store := onSQLite(t, b.Store())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range store.ReadStream(ctx, account("1"), es.ReadOptions{}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("read: %v", err)
		}
	}
	if span := b.one(t, "load account"); span.Status.Code != codes.Error || len(span.Events) != 1 {
		t.Errorf("status %v, events %v", span.Status, span.Events)
	}
}

// Without an SDK nothing is recorded, and the events stay as they are.
func TestGlobalProvidersWithoutAnSDK(t *testing.T) {
	t.Parallel()
	telemetry, err := otelpeat.New(otelpeat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store := onSQLite(t, telemetry.Store())
	mustAppend(t.Context(), t, store, account("1"), deposited())
	wantEqual(t, "trace parents", []string{""}, traceParents(t, store, account("1")))
}
