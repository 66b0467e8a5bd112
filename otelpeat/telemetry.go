package otelpeat

import (
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

// scope names this package as the origin of spans and metrics.
const scope = "github.com/peatlog/peat/otelpeat"

// Options configures [New]. The zero value works.
type Options struct {
	// TracerProvider and MeterProvider take the spans and the metrics; nil means the
	// global one.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
}

// Telemetry makes spans and metrics of what it is told. It is made by [New].
type Telemetry struct {
	tracer trace.Tracer
	meter  metric.Meter
	instruments
}

var (
	_ es.AppendTracer            = (*Telemetry)(nil)
	_ es.LoadTracer              = (*Telemetry)(nil)
	_ subscribe.PollTracer       = (*Telemetry)(nil)
	_ subscribe.HandleTracer     = (*Telemetry)(nil)
	_ subscribe.CheckpointTracer = (*Telemetry)(nil)
	_ subscribe.LeaseTracer      = (*Telemetry)(nil)
)

// New returns a Telemetry. An error names the instruments that the MeterProvider
// refuses.
func New(opts Options) (*Telemetry, error) {
	if opts.TracerProvider == nil {
		opts.TracerProvider = otel.GetTracerProvider()
	}
	if opts.MeterProvider == nil {
		opts.MeterProvider = otel.GetMeterProvider()
	}
	t := &Telemetry{
		tracer: opts.TracerProvider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		meter:  opts.MeterProvider.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL)),
	}
	var err error
	if t.instruments, err = newInstruments(t.meter); err != nil {
		return nil, fmt.Errorf("otelpeat: %w", err)
	}
	return t, nil
}

// Store returns the tracers for the options of a store.
func (t *Telemetry) Store() es.Tracers { return es.Tracers{Append: t, Load: t} }

// Runner returns the tracers for the options of a runner.
func (t *Telemetry) Runner() subscribe.Tracers {
	return subscribe.Tracers{Poll: t, Handle: t, Checkpoint: t, Lease: t}
}

const (
	categoryKey     = attribute.Key("peat.category")
	consumerKey     = attribute.Key("peat.consumer")
	subscriptionKey = attribute.Key("peat.subscription")
	heldKey         = attribute.Key("peat.held")
	attemptKey      = attribute.Key("peat.attempt")
	duplicateKey    = attribute.Key("peat.duplicate")
)

var system = semconv.MessagingSystemKey.String("peat")

// of are the attributes of a metric of one subscription.
func of(subscription string, more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributes(append(more, consumerKey.String(consumer(subscription)), subscriptionKey.String(subscription))...)
}

// consumer returns the name of the consumer that a subscription is a part of.
func consumer(subscription string) string {
	name, _, _ := strings.Cut(subscription, "@")
	return name
}

// failed returns the attribute of a metric that tells how something failed, none if
// it did not.
func failed(err error) []attribute.KeyValue {
	if err == nil {
		return nil
	}
	return []attribute.KeyValue{semconv.ErrorType(err)}
}

// end ends a span with what came of it.
func end(span trace.Span, err error) {
	if err != nil {
		var stack []attribute.KeyValue
		if p, ok := errors.AsType[*subscribe.PanicError](err); ok {
			stack = append(stack, semconv.ExceptionStacktrace(p.Stack))
		}
		span.RecordError(err, trace.WithAttributes(stack...))
		span.SetAttributes(semconv.ErrorType(err))
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}
