package otelpeat

import (
	"context"

	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/peatlog/peat/es"
)

// TraceAppend implements [es.AppendTracer].
func (t *Telemetry) TraceAppend(ctx context.Context, stream es.StreamID, events int) (context.Context, func(es.AppendResult, error)) {
	// Inside a handler the context has the trace parent of the event that is handled,
	// too: the active span knows better.
	given, active := es.MetadataFrom(ctx).TraceParent, trace.SpanContextFromContext(ctx).IsValid()
	keep := given != "" && !active
	if keep {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parse(given))
	}
	ctx, span := t.tracer.Start(ctx, "append "+stream.Category, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		system, semconv.MessagingOperationName("append"), semconv.MessagingOperationTypeSend,
		semconv.MessagingDestinationName(stream.Category), semconv.MessagingBatchMessageCount(events)))
	if !keep {
		ctx = withTraceParent(ctx)
	}
	return ctx, func(result es.AppendResult, err error) {
		switch {
		case err != nil:
		case result.Duplicate:
			span.SetAttributes(duplicateKey.Bool(true))
		case events > 0:
			t.appended.Add(ctx, int64(events), metric.WithAttributes(categoryKey.String(stream.Category)))
		}
		end(span, err)
	}
}

// TraceLoad implements [es.LoadTracer].
func (t *Telemetry) TraceLoad(ctx context.Context, stream es.StreamID) (context.Context, func(int, error)) {
	ctx, span := t.tracer.Start(ctx, "load "+stream.Category, trace.WithAttributes(
		system, semconv.MessagingOperationName("load"), semconv.MessagingDestinationName(stream.Category)))
	return ctx, func(events int, err error) {
		span.SetAttributes(semconv.MessagingBatchMessageCount(events))
		end(span, err)
	}
}
