package otelpeat

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/metric"

	"github.com/peatlog/peat/subscribe"
)

// RegisterLag has the gauges peat.lag.events and peat.lag.seconds fed by status, such
// as the Status of a [subscribe.Runner], each time that the metrics are collected,
// until the registration is given back. Several may be registered, of consumers with
// different names.
//
// The status counts what is still to come, up to 100,000 events, which takes time
// where that is much, and it is the same in every process that runs a consumer: one
// of them is enough.
func (t *Telemetry) RegisterLag(status func(ctx context.Context) ([]subscribe.ConsumerStatus, error)) (metric.Registration, error) {
	events, eventsErr := t.meter.Int64ObservableGauge("peat.lag.events", metric.WithUnit("{event}"),
		metric.WithDescription("How many events are still to come."))
	age, ageErr := t.meter.Float64ObservableGauge("peat.lag.seconds", metric.WithUnit("s"),
		metric.WithDescription("How long the oldest event that is still to come has been in the log."))
	if err := errors.Join(eventsErr, ageErr); err != nil {
		return nil, fmt.Errorf("otelpeat: %w", err)
	}
	return t.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		consumers, err := status(ctx)
		for _, c := range consumers {
			for _, r := range c.Readers {
				o.ObserveInt64(events, int64(r.Lag.Events), of(r.Subscription))
				o.ObserveFloat64(age, r.Lag.Age.Seconds(), of(r.Subscription))
			}
		}
		return err
	}, events, age)
}
