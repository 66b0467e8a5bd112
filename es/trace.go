package es

import "context"

// Tracers are told what a store does. Each may be nil, and costs nothing then. They
// are called by many goroutines and must not block.
type Tracers struct {
	Append AppendTracer
	Load   LoadTracer
}

// AppendTracer is told of appends, inside and outside of transactions.
type AppendTracer interface {
	// TraceAppend is called before an append, also one that turns out to be invalid,
	// and done after it. The append runs with the context that it returns: metadata
	// there ([WithMetadata]) goes with the events.
	//
	// Inside a transaction done does not tell that the events are committed.
	TraceAppend(ctx context.Context, stream StreamID, events int) (_ context.Context, done func(AppendResult, error))
}

// LoadTracer is told of reads of single streams.
type LoadTracer interface {
	// TraceLoad is called when a loop over a stream begins, and done when it ends,
	// with how many events it got, also when it breaks. The stream is read with the
	// context that TraceLoad returns.
	TraceLoad(ctx context.Context, stream StreamID) (_ context.Context, done func(events int, err error))
}
