package otelpeat

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
)

// instruments are the metrics, but for those that are asked for: see lag.go.
type instruments struct {
	appended, delivered, retries, parked, leases metric.Int64Counter
	batchSize                                    metric.Int64Histogram
	handling, checkpoint                         metric.Float64Histogram
}

var (
	// sizes are the bounds of histograms of events, up to the largest batches.
	sizes = metric.WithExplicitBucketBoundaries(0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
	// seconds are those that the conventions advise for messaging, and a minute.
	seconds = metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 60)
)

func newInstruments(m metric.Meter) (instruments, error) {
	var i instruments
	var faults []error
	for _, c := range []struct {
		to                      *metric.Int64Counter
		name, unit, description string
	}{
		{&i.appended, "peat.appended", "{event}", "Events that were appended."},
		{&i.delivered, "peat.delivered", "{event}", "Events that were dealt with."},
		{&i.retries, "peat.retries", "{attempt}", "Handings over that were not the first attempt."},
		{&i.parked, "peat.parked", "{event}", "Events that were set aside."},
		{&i.leases, "peat.lease.changes", "{change}", "Leases that this process got, gave back or lost."},
	} {
		var err error
		*c.to, err = m.Int64Counter(c.name, metric.WithUnit(c.unit), metric.WithDescription(c.description))
		faults = append(faults, err)
	}
	for _, h := range []struct {
		to                *metric.Float64Histogram
		name, description string
	}{
		{&i.handling, "peat.handle.duration", "How long a handing over of events took."},
		{&i.checkpoint, "peat.checkpoint.duration", "How long it took to store progress."},
	} {
		var err error
		*h.to, err = m.Float64Histogram(h.name, metric.WithUnit("s"), metric.WithDescription(h.description), seconds)
		faults = append(faults, err)
	}
	var err error
	i.batchSize, err = m.Int64Histogram("peat.poll.batch_size", metric.WithUnit("{event}"), metric.WithDescription("How many events a poll brought."), sizes)
	return i, errors.Join(append(faults, err)...)
}
