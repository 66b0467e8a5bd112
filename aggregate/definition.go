package aggregate

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
)

// Aggregate is a state that events of type E build up.
//
// Apply takes one event into the state. It is total: it accepts every event in
// every state, returns no error, and neither reads a clock nor does I/O, because
// it runs again at every load. Rules belong into decisions.
type Aggregate[E es.Event] interface {
	Apply(E)
}

// Definition says what an aggregate is: its category, its events and its empty
// state. It is immutable.
type Definition[A Aggregate[E], E es.Event] struct {
	category  string
	events    *codec.Union[E]
	empty     func() A
	snapshots Snapshots
	clone     func(A) (A, error)
	cheap     bool   // a copy costs nothing to speak of
	form      string // of the state's type
}

// Define defines an aggregate. The category is the first part of its stream
// ids; empty returns a new state that no event has touched. It panics on an
// invalid category, on a nil argument, and on a state that cannot be copied (see
// [Cloner]), because such a program must not start.
func Define[A Aggregate[E], E es.Event](category string, events *codec.Union[E], empty func() A) *Definition[A, E] {
	fault := es.ValidateCategory(category)
	if events == nil {
		fault = errors.Join(fault, errors.New("the event union is nil"))
	}
	if empty == nil {
		fault = errors.Join(fault, errors.New("the function for the empty state is nil"))
	}
	clone, cheap, err := cloner[A]()
	if fault = errors.Join(fault, err); fault != nil {
		panic(fmt.Errorf("aggregate.Define: %w", fault))
	}
	return &Definition[A, E]{category: category, events: events.Of(category), empty: empty, clone: clone, cheap: cheap}
}

// Category returns the first part of the aggregate's stream ids.
func (d *Definition[A, E]) Category() string { return d.category }

// Events returns the union of the aggregate's events, as that of the aggregate's category.
// Handlers that are made from it get the events of this category and of no other one.
func (d *Definition[A, E]) Events() *codec.Union[E] { return d.events }

// New returns the root of an aggregate without events. It does not look into
// any store. An invalid key gives es.ErrInvalidStream.
func (d *Definition[A, E]) New(key string) (*Root[A, E], error) {
	stream, err := es.NewStreamID(d.category, key)
	if err != nil {
		return nil, err
	}
	return d.newRoot(stream), nil
}

func (d *Definition[A, E]) newRoot(stream es.StreamID) *Root[A, E] {
	return &Root[A, E]{def: d, stream: stream, state: d.empty()}
}

// apply takes an event into a state. A panic is an [*ApplyError].
func (d *Definition[A, E]) apply(state A, e E, stream es.StreamID, version int64, eventType string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &ApplyError{Stream: stream, Version: version, Type: eventType, Value: p, Stack: string(debug.Stack())}
		}
	}()
	state.Apply(e)
	return nil
}
