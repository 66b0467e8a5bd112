package otelpeat

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

// consuming are the attributes of a span of one subscription.
func consuming(subscription, operation string, kind attribute.KeyValue, more ...attribute.KeyValue) trace.SpanStartEventOption {
	return trace.WithAttributes(append(more, system, semconv.MessagingOperationName(operation), kind,
		semconv.MessagingConsumerGroupName(consumer(subscription)), semconv.MessagingDestinationSubscriptionName(subscription))...)
}

// TracePoll implements [subscribe.PollTracer].
func (t *Telemetry) TracePoll(ctx context.Context, subscription string) (context.Context, func(int, error)) {
	ctx, span := t.tracer.Start(ctx, "poll "+consumer(subscription), trace.WithSpanKind(trace.SpanKindClient),
		consuming(subscription, "poll", semconv.MessagingOperationTypeReceive))
	return ctx, func(events int, err error) {
		if err == nil {
			t.batchSize.Record(ctx, int64(events), of(subscription))
		}
		span.SetAttributes(semconv.MessagingBatchMessageCount(events))
		end(span, err)
	}
}

// TraceHandle implements [subscribe.HandleTracer].
func (t *Telemetry) TraceHandle(ctx context.Context, h subscribe.Handling) (context.Context, func(int, error)) {
	ctx, span := t.tracer.Start(ctx, "handle "+h.Consumer, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithLinks(links(h.Events)...),
		consuming(h.Subscription, "handle", semconv.MessagingOperationTypeProcess,
			semconv.MessagingBatchMessageCount(len(h.Events)), attemptKey.Int(h.Attempt)))
	if h.Attempt > 1 {
		t.retries.Add(ctx, 1, of(h.Subscription))
	}
	start := time.Now()
	return withTraceParent(ctx), func(handled int, err error) {
		t.handling.Record(ctx, time.Since(start).Seconds(), of(h.Subscription, failed(err)...))
		for category, n := range count(h.Events[:handled]) {
			t.delivered.Add(ctx, int64(n), of(h.Subscription, categoryKey.String(category)))
		}
		end(span, err)
	}
}

// count tells how many events there are of each category.
func count(events []es.Recorded) map[string]int {
	n := map[string]int{}
	for i := range events {
		n[events[i].Stream.Category]++
	}
	return n
}

// TraceParked implements [subscribe.HandleTracer].
func (t *Telemetry) TraceParked(ctx context.Context, subscription string, _ es.Failure) {
	t.parked.Add(ctx, 1, of(subscription))
}

// TraceCheckpoint implements [subscribe.CheckpointTracer].
func (t *Telemetry) TraceCheckpoint(ctx context.Context, subscription string, took time.Duration, err error) {
	t.checkpoint.Record(ctx, took.Seconds(), of(subscription, failed(err)...))
}

// TraceLease implements [subscribe.LeaseTracer].
func (t *Telemetry) TraceLease(ctx context.Context, subscription string, held bool) {
	t.leases.Add(ctx, 1, of(subscription, heldKey.Bool(held)))
}
