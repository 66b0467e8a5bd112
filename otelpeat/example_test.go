package otelpeat_test

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
	"github.com/peatlog/peat/otelpeat"
	"github.com/peatlog/peat/subscribe"
)

func Example() {
	spans := tracetest.NewInMemoryExporter() // in a program, the exporter of a collector
	telemetry, err := otelpeat.New(otelpeat.Options{
		TracerProvider: trace.NewTracerProvider(trace.WithSyncer(spans)),
		MeterProvider:  metric.NewMeterProvider(),
	})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	store, err := sqlite.Open(ctx, ":memory:", sqlite.Options{Tracers: telemetry.Store()})
	if err != nil {
		panic(err)
	}
	defer func() { _ = store.Close() }()
	runner, err := subscribe.NewRunner(store, subscribe.RunnerOptions{Tracers: telemetry.Runner()}, subscribe.Consumer{
		Name: "balances",
		Delivery: subscribe.AtLeastOnce(subscribe.EachRecorded(func(_ context.Context, e es.Recorded) error {
			fmt.Println("handling", e.Type)
			cancel() // enough for an example
			return nil
		})),
	})
	if err != nil {
		panic(err)
	}
	if _, err := telemetry.RegisterLag(runner.Status); err != nil {
		panic(err)
	}

	account := es.StreamID{Category: "account", Key: "42"}
	if _, err := store.Append(ctx, account, es.NoStream, es.EventData{Type: "account.opened", Data: []byte(`{}`)}); err != nil {
		panic(err)
	}
	if err := runner.Run(ctx); err != nil {
		panic(err)
	}
	var appended tracetest.SpanStub
	for _, span := range spans.GetSpans() {
		switch span.Name {
		case "append account":
			appended = span
			fmt.Println(span.Name, span.SpanKind)
		case "handle balances":
			linked := len(span.Links) == 1 && span.Links[0].SpanContext.SpanID() == appended.SpanContext.SpanID()
			fmt.Println(span.Name, span.SpanKind, "linked to the append:", linked)
		}
	}
	// Output:
	// handling account.opened
	// append account producer
	// handle balances consumer linked to the append: true
}
