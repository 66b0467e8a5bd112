package aggregate

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/peatlog/peat/es"
)

// call is one Execute on its way.
type call[A Aggregate[E], E es.Event] struct {
	order
	ctx    context.Context
	decide func(A) ([]E, error)
	stage  atomic.Int32
	// resolved is set when it is known whether the command is in the log, unknown while it
	// may be there although nothing has answered the call.
	resolved, unknown bool

	// What the decision has recorded, as it comes back from a store, and its stored form.
	events  []E
	encoded []es.EventData

	// The outcome: one of the three.
	root     *Root[A, E]
	err      error
	panicked *PanicError
}

// The stages of a call.
const (
	waiting   int32 = iota // it can be withdrawn
	claimed                // its events may be on their way
	withdrawn              // its caller has gone
)

func newCall[A Aggregate[E], E es.Event](ctx context.Context, stream es.StreamID, tx es.Tx, decide func(A) ([]E, error)) *call[A, E] {
	return &call[A, E]{order: orderFrom(ctx, stream, tx), ctx: ctx, decide: decide}
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
		panic(c.panicked)
	}
	if c.err == nil {
		return c.root, nil
	}
	// The batch's context ends when all its callers have gone. Each of them is told why.
	if ended := c.ctx.Err(); ended != nil && errors.Is(c.err, context.Canceled) && !errors.Is(c.err, ended) {
		return nil, fmt.Errorf("%w: %w", ended, c.err)
	}
	return nil, c.err
}

// reset forgets the outcome of an earlier round.
func (c *call[A, E]) reset() {
	c.root, c.err, c.panicked, c.events, c.encoded = nil, nil, nil, nil, nil
}

// fail makes an error the outcome. Once the outcome was unknown, it stays so.
func (c *call[A, E]) fail(err error) {
	c.reset()
	if c.err = err; c.unknown && !errors.Is(err, es.ErrOutcomeUnknown) {
		c.err = &es.OutcomeUnknownError{Err: err}
	}
}

// run decides on a state of the call's own, which is at this version, and applies the
// events to it. What goes wrong is the call's outcome.
func (c *call[A, E]) run(def *Definition[A, E], state A, version int64) {
	events, ok := c.ask(state)
	if !ok {
		return
	}
	metadata := c.metadata(c.ctx)
	for i, e := range events {
		data, back, err := def.stored(e, i+1, c.stream)
		if err == nil {
			err = def.apply(state, back, c.stream, version+int64(i)+1, data.Type)
		}
		if err == nil {
			data.ID, err = c.eventID(i)
		}
		if err != nil {
			c.reset()
			c.err = err
			return
		}
		data.Metadata = metadata
		c.events, c.encoded = append(c.events, back), append(c.encoded, data)
	}
}

// ask runs the decision.
func (c *call[A, E]) ask(state A) (events []E, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			c.panicked = &PanicError{Value: p, Stack: string(debug.Stack())}
		}
	}()
	events, c.err = c.decide(state)
	return events, c.err == nil
}
