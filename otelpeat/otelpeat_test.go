package otelpeat_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
	"github.com/peatlog/peat/otelpeat"
	"github.com/peatlog/peat/subscribe"
)

// backend collects what a Telemetry makes.
type backend struct {
	*otelpeat.Telemetry
	spans   *tracetest.InMemoryExporter
	tracing *sdktrace.TracerProvider
	metrics *sdkmetric.ManualReader
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{spans: tracetest.NewInMemoryExporter(), metrics: sdkmetric.NewManualReader()}
	limits := sdktrace.NewSpanLimits()
	limits.LinkCountLimit = -1 // the package has a bound of its own
	b.tracing = sdktrace.NewTracerProvider(sdktrace.WithSyncer(b.spans), sdktrace.WithRawSpanLimits(limits))
	var err error
	b.Telemetry, err = otelpeat.New(otelpeat.Options{
		TracerProvider: b.tracing, MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(b.metrics)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// named returns the spans of a name, in the order of their ends.
func (b *backend) named(name string) []tracetest.SpanStub {
	return slices.DeleteFunc(slices.Clone(b.spans.GetSpans()), func(s tracetest.SpanStub) bool { return s.Name != name })
}

// one returns the only span of a name.
func (b *backend) one(t *testing.T, name string) tracetest.SpanStub {
	t.Helper()
	all := b.named(name)
	if len(all) != 1 {
		t.Fatalf("%d spans %q, want 1", len(all), name)
	}
	return all[0]
}

// attr returns an attribute as text, "" if it is not there.
func attr(all []attribute.KeyValue, key string) string {
	for _, kv := range all {
		if string(kv.Key) == key {
			return kv.Value.String()
		}
	}
	return ""
}

// metric returns the data of a metric, nil if there is none.
func (b *backend) metric(t *testing.T, name string) metricdata.Aggregation {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := b.metrics.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name == name {
				return m.Data
			}
		}
	}
	return nil
}

// wantNumbers compares the values of a counter or gauge of events by their
// attributes, as the SDK encodes them.
func (b *backend) wantNumbers(t *testing.T, name string, want map[string]int64) {
	t.Helper()
	var points []metricdata.DataPoint[int64]
	switch data := b.metric(t, name).(type) {
	case metricdata.Sum[int64]:
		points = data.DataPoints
	case metricdata.Gauge[int64]:
		points = data.DataPoints
	}
	got := map[string]int64{}
	for _, p := range points {
		got[p.Attributes.Encoded(attribute.DefaultEncoder())] = p.Value
	}
	wantEqual(t, name, want, got)
}

// wantCounts compares how many values a histogram has.
func (b *backend) wantCounts(t *testing.T, name string, want map[string]uint64) {
	t.Helper()
	got := map[string]uint64{}
	switch data := b.metric(t, name).(type) {
	case metricdata.Histogram[int64]:
		for _, p := range data.DataPoints {
			got[p.Attributes.Encoded(attribute.DefaultEncoder())] = p.Count
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			got[p.Attributes.Encoded(attribute.DefaultEncoder())] = p.Count
		}
	}
	wantEqual(t, name, want, got)
}

// onSQLite opens an empty log.
func onSQLite(t *testing.T, tracers es.Tracers) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), ":memory:", sqlite.Options{Tracers: tracers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func balances(delivery subscribe.Delivery) subscribe.Consumer {
	return subscribe.Consumer{
		Name: "balances", Delivery: delivery, Filter: es.Filter{Categories: []string{"account"}}, Attempts: 2, RetryDelay: time.Millisecond,
	}
}

// start runs a consumer until stop is called.
func start(t *testing.T, store subscribe.RunnerStore, tracers subscribe.Tracers, c subscribe.Consumer) (r *subscribe.Runner, stop func()) {
	t.Helper()
	r, err := subscribe.NewRunner(store, subscribe.RunnerOptions{Tracers: tracers, Recheck: 50 * time.Millisecond, PollInterval: 50 * time.Millisecond}, c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return r, stop
}

func account(key string) es.StreamID { return es.StreamID{Category: "account", Key: key} }

func deposited() es.EventData { return es.EventData{Type: "account.deposited", Data: []byte(`{}`)} }

func mustAppend(ctx context.Context, t *testing.T, s es.Appender, stream es.StreamID, events ...es.EventData) es.AppendResult {
	t.Helper()
	result, err := s.Append(ctx, stream, es.NoStream, events...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// traceParents are those that the events of a stream carry.
func traceParents(t *testing.T, s es.StreamReader, stream es.StreamID) (all []string) {
	t.Helper()
	for e, err := range s.ReadStream(t.Context(), stream, es.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.Metadata.TraceParent)
	}
	return all
}

func wantEqual(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// traceParent is how W3C writes a sampled span.
func traceParent(sc trace.SpanContext) string {
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-01"
}
