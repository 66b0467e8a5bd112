package subscribe

import (
	"context"
	"time"

	"github.com/peatlog/peat/es"
)

// Tracers are told what a runner does. Each may be nil. They are called by many
// goroutines and must not block.
type Tracers struct {
	Poll       PollTracer
	Handle     HandleTracer
	Checkpoint CheckpointTracer
	Lease      LeaseTracer
}

// PollTracer is told of the reading of batches.
type PollTracer interface {
	// TracePoll is called before a poll, whose context it returns, and done after
	// it, with how many events came.
	TracePoll(ctx context.Context, subscription string) (_ context.Context, done func(events int, err error))
}

// HandleTracer is told of the work of handlers.
type HandleTracer interface {
	// TraceHandle is called before events are handed over, and done afterwards, with
	// how many were dealt with and the error of a handler or of the store. The
	// handlers get the context that it returns; a trace parent in its metadata
	// (es.WithMetadata) takes the place of the events' own in what they append.
	TraceHandle(ctx context.Context, h Handling) (_ context.Context, done func(handled int, err error))
	// TraceParked is called when an event has been set aside, by itself or because
	// an earlier one of its stream has.
	TraceParked(ctx context.Context, subscription string, f es.Failure)
}

// Handling is a number of events that are handed over at once.
type Handling struct {
	Consumer, Subscription string
	Events                 []es.Recorded
	// Attempt is 1 for the first one.
	Attempt int
}

// CheckpointTracer is told of progress that is stored outside of a handler's
// transaction or with it.
type CheckpointTracer interface {
	// TraceCheckpoint is called when it was stored, or was not, after so much time.
	TraceCheckpoint(ctx context.Context, subscription string, took time.Duration, err error)
}

// LeaseTracer is told when a process begins and ends to work on a subscription.
type LeaseTracer interface {
	TraceLease(ctx context.Context, subscription string, held bool)
}
