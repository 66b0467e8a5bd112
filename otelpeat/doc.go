// Package otelpeat tells OpenTelemetry what stores and runners do: spans that are
// tied together from the append of an event to its handling, and metrics.
//
// # Model
//
// [New] returns one [Telemetry]; its [Telemetry.Store] goes into the options of a
// store and its [Telemetry.Runner] into those of a runner.
//
// # Spans
//
//	append CATEGORY   producer   an append, or one inside a transaction
//	load CATEGORY     internal   a loop over a stream
//	poll CONSUMER     client     the reading of a batch
//	handle CONSUMER   consumer   handlers at work on a number of events, one attempt
//
// They carry the messaging attributes of the semantic conventions; no stream keys.
// An error sets the status, also one that the caller copes with, such as a conflict.
//
// The span of an append is put into the metadata of its events, as their trace
// parent. The span of a handling links to those of its events, to 128 of them at
// most, and what handlers append is within it: runners follow the log on their own, so
// that a trace goes as far as an append and the next one begins with the handling.
// The context of [subscribe.Runner.Run] should therefore not be in a span.
//
// Whoever gives an event a trace parent of its own keeps it. One in the context
// (es.WithMetadata), such as from a header, is kept where no span is active, and the
// append joins that trace; an active span goes before it.
//
// # Metrics
//
//	peat.appended             events appended, by category; in a transaction when they are written, not when it commits
//	peat.delivered            events dealt with, by consumer, subscription and category
//	peat.retries              handings over that were not the first attempt, by consumer and subscription, as all below
//	peat.parked               events set aside, by themselves or behind an earlier one of their stream
//	peat.poll.batch_size      events per poll
//	peat.handle.duration      seconds per handing over, by error.type if it failed
//	peat.checkpoint.duration  seconds until progress is stored, with the handling where both are one
//	peat.lease.changes        leases got and given back or lost, by peat.held
//	peat.lag.events           events that are still to come; see [Telemetry.RegisterLag]
//	peat.lag.seconds          how long the oldest of them has been in the log
//
// The attributes are peat.category, peat.consumer and peat.subscription, which is a
// segment of a generation of the consumer.
//
// # Concurrency
//
// A Telemetry is safe for concurrent use.
package otelpeat
