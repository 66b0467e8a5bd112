package otelpeat_test

import (
	"context"
	"errors"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

func TestLagIsMeasured(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	store := onSQLite(t, es.Tracers{})
	result := mustAppend(t.Context(), t, store, account("1"), deposited(), deposited(), deposited())
	c := balances(subscribe.AtLeastOnce(subscribe.EachRecorded(func(context.Context, es.Recorded) error { return nil })))
	idle, err := subscribe.NewRunner(store, subscribe.RunnerOptions{}, c)
	if err != nil {
		t.Fatal(err)
	}
	registration, err := b.RegisterLag(idle.Status)
	if err != nil {
		t.Fatal(err)
	}
	age := func() float64 {
		data, ok := b.metric(t, "peat.lag.seconds").(metricdata.Gauge[float64])
		if !ok || len(data.DataPoints) != 1 {
			t.Fatalf("peat.lag.seconds: %+v", data)
		}
		return data.DataPoints[0].Value
	}
	b.wantNumbers(t, "peat.lag.events", map[string]int64{attributes: 3})
	if got := age(); got <= 0 {
		t.Errorf("the lag is %v s, want more than 0", got)
	}
	r, stop := start(t, store, b.Runner(), c)
	if err := r.WaitFor(t.Context(), "balances", result); err != nil {
		t.Fatal(err)
	}
	stop()
	b.wantNumbers(t, "peat.lag.events", map[string]int64{attributes: 0})
	if got := age(); got != 0 {
		t.Errorf("the lag is %v s, want 0", got)
	}
	if err := registration.Unregister(); err != nil {
		t.Fatal(err)
	}
	b.wantNumbers(t, "peat.lag.events", map[string]int64{})
}

func TestLagOfSeveralRunners(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	for i, name := range []string{"one", "two"} {
		_, err := b.RegisterLag(func(context.Context) ([]subscribe.ConsumerStatus, error) {
			return []subscribe.ConsumerStatus{{Name: name, Readers: []subscribe.ReaderStatus{{Subscription: name, Lag: es.Lag{Events: i + 1}}}}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	b.wantNumbers(t, "peat.lag.events", map[string]int64{
		"peat.consumer=one,peat.subscription=one": 1, "peat.consumer=two,peat.subscription=two": 2,
	})
}

// A status that cannot be read fails the collection, and does not hide in a zero.
func TestLagThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	failure := errors.New("no connection")
	_, err := b.RegisterLag(func(context.Context) ([]subscribe.ConsumerStatus, error) { return nil, failure })
	if err != nil {
		t.Fatal(err)
	}
	var all metricdata.ResourceMetrics
	if err := b.metrics.Collect(t.Context(), &all); !errors.Is(err, failure) {
		t.Errorf("Collect: %v, want %v", err, failure)
	}
}
