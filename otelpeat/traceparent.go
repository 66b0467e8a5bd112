package otelpeat

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/peatlog/peat/es"
)

// maxLinks bounds the links of a span.
const maxLinks = 128

// header is the name under which a propagator keeps a trace parent.
const header = "traceparent"

// withTraceParent returns a context whose appends carry the active span of ctx, if
// there is one.
func withTraceParent(ctx context.Context) context.Context {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return es.WithMetadata(ctx, es.Metadata{TraceParent: carrier[header]})
}

// parse reads a trace parent, which may be anything that somebody wrote into the
// metadata. One that is none gives an invalid span context.
func parse(traceParent string) trace.SpanContext {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{header: traceParent})
	return trace.SpanContextFromContext(ctx)
}

// links returns links to the spans that appended the events, each once, to the first
// ones if there are many.
func links(events []es.Recorded) []trace.Link {
	var all []trace.Link
	seen := map[string]bool{"": true}
	for i := range events {
		parent := events[i].Metadata.TraceParent
		if seen[parent] {
			continue
		}
		seen[parent] = true
		if sc := parse(parent); sc.IsValid() {
			all = append(all, trace.Link{SpanContext: sc})
		}
		if len(all) == maxLinks {
			break
		}
	}
	return all
}
