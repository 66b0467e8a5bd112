package aggregate

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
)

// call is one Execute on its way.
type call[A Aggregate[E], E es.Event] struct {
	command
	ctx    context.Context
	decide func(A) ([]E, error)
	stage  atomic.Int32

	// The outcome: one of the three.
	root     *Root[A, E]
	err      error
	panicked *panicked
}

// The stages of a call.
const (
	waiting   int32 = iota // it can be withdrawn
	claimed                // its events may be on their way
	withdrawn              // its caller has gone
)

// panicked is what a decision panicked with.
type panicked struct{ value any }

func newCall[A Aggregate[E], E es.Event](ctx context.Context, stream es.StreamID, decide func(A) ([]E, error)) *call[A, E] {
	return &call[A, E]{command: command{id: es.CommandID(ctx), stream: stream}, ctx: ctx, decide: decide}
}

// claim takes the call into a round. It fails if the caller has gone.
func (c *call[A, E]) claim() bool {
	c.stage.CompareAndSwap(waiting, claimed)
	return c.stage.Load() == claimed
}

// yield makes the call one that can be withdrawn, where nothing of it is on its way.
func (c *call[A, E]) yield() { c.stage.CompareAndSwap(claimed, waiting) }

// withdraw reports whether the call is known to write nothing from now on.
func (c *call[A, E]) withdraw() bool { return c.stage.CompareAndSwap(waiting, withdrawn) }

// answer returns the outcome to the caller.
func (c *call[A, E]) answer() (*Root[A, E], error) {
	if c.panicked != nil {
		panic(c.panicked.value)
	}
	return c.root, c.err
}

// run decides on a state that is the call's own, and records the events in root,
// encoded. What goes wrong is the call's outcome.
func (c *call[A, E]) run(root *Root[A, E], union *codec.Union[E]) (ok bool) {
	defer c.recover(&ok)
	events, err := c.decide(root.state)
	if err == nil {
		root.Record(events...)
		err = root.encode(union, c.eventID)
	}
	if c.err = err; err != nil {
		return false
	}
	metadata := es.MetadataFrom(c.ctx)
	for i := range root.encoded {
		root.encoded[i].Metadata = metadata
	}
	c.root = root
	return true
}

// applyTo applies the stored form of the recorded events to another state, so that
// the two share nothing, and the other one is what a load would give.
func (c *call[A, E]) applyTo(state A, root *Root[A, E], union *codec.Union[E]) (ok bool) {
	defer c.recover(&ok)
	for i, e := range root.encoded {
		event, err := union.Decode(e.Type, e.Data, e.Binary)
		if err != nil {
			c.root, c.err = nil, fmt.Errorf("event %d for %s cannot be read back: %w", i+1, c.stream, err)
			return false
		}
		state.Apply(event)
	}
	return true
}

func (c *call[A, E]) recover(ok *bool) {
	if p := recover(); p != nil {
		c.root, c.err, c.panicked, *ok = nil, nil, &panicked{p}, false
	}
}
