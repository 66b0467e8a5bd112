package aggregate

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

// Root is one aggregate in memory: its state, where that state stands in the
// stream, and the events that are recorded but not saved yet. It belongs to one
// goroutine.
type Root[A Aggregate[E], E es.Event] struct {
	def    *Definition[A, E]
	stream es.StreamID
	state  A
	// from is where the state comes from when it is asked for; nil when it is there.
	from     *origin[A]
	version  int64     // of the last event known to be committed
	last     uuid.UUID // its id
	position int64     // of the last event loaded
	pending  []E
	encoded  []es.EventData // pending; those with ids have been in a save
	fault    error          // of an event that could not be recorded
	unknown  bool           // a save was, and nothing has answered since
	joined   inTx
	result   es.AppendResult
}

// inTx remembers how many pending events were written in a transaction whose
// end is not known yet.
type inTx struct {
	tx es.Tx
	n  int
}

// Stream returns the id of the aggregate's stream.
func (r *Root[A, E]) Stream() es.StreamID { return r.stream }

// State returns the state with all events applied, the pending ones included.
// It is to be read; only events change it.
func (r *Root[A, E]) State() A {
	r.restore()
	return r.state
}

// Version returns the version of the last event known to be committed, 0 for a
// new aggregate.
func (r *Root[A, E]) Version() int64 { return r.version }

// Pending returns a copy of the events that are recorded and not known to be
// committed, as they come back from a store. A failed save leaves them here, for another
// try; so does a save in a transaction, until that commits.
func (r *Root[A, E]) Pending() []E { return slices.Clone(r.pending) }

// LastAppend returns where the events of the last save are; the zero value
// before one. After an Execute or Save whose command had landed before, Duplicate is
// true and the rest is where the stream stands now.
func (r *Root[A, E]) LastAppend() es.AppendResult { return r.result }

// Record encodes the events, applies them to the state as they come back from a store,
// and keeps them for the next save. What the caller does to them afterwards changes
// nothing.
//
// An event that cannot be stored and read back is not recorded, and neither is any later
// one: [Root.Err] returns why, and so does every Save.
func (r *Root[A, E]) Record(events ...E) {
	r.restore()
	for _, e := range events {
		if r.fault != nil {
			return
		}
		r.fault = r.record(e)
	}
}

func (r *Root[A, E]) record(e E) error {
	data, back, err := r.def.stored(e, len(r.pending)+1, r.stream)
	if err != nil {
		return err
	}
	if err := r.def.apply(r.state, back, r.stream, r.version+int64(len(r.pending))+1, data.Type); err != nil {
		return err
	}
	r.pending, r.encoded = append(r.pending, back), append(r.encoded, data)
	return nil
}

// Err returns why an event could not be recorded: codec.ErrUnknownEvent,
// codec.ErrMalformed or [ErrApply]. It returns nil if all events were.
func (r *Root[A, E]) Err() error { return r.fault }

// stored returns the stored form of an event, without an id, and the event that comes back
// from it. It is the n-th one for its stream.
func (d *Definition[A, E]) stored(e E, n int, stream es.StreamID) (data es.EventData, back E, err error) {
	name, payload, binary, err := d.events.Encode(e)
	if err != nil {
		return data, back, fmt.Errorf("encode event %d for %s: %w", n, stream, err)
	}
	if back, err = d.events.Decode(name, payload, binary); err != nil {
		return data, back, fmt.Errorf("event %d for %s cannot be read back: %w", n, stream, err)
	}
	return es.EventData{Type: name, Data: payload, Binary: binary}, back, nil
}

// holds reports whether pending events have ids of a command.
func (r *Root[A, E]) holds(o order) bool {
	return slices.ContainsFunc(r.encoded, func(e es.EventData) bool { return e.ID == o.firstID() })
}

// identify makes those pending events that have no ids the command's next ones.
func (r *Root[A, E]) identify(o order, m es.Metadata) (err error) {
	n := 0 // of the command's events
	for i := range r.encoded {
		e := &r.encoded[i]
		if e.ID != uuid.Nil {
			if o.ID != "" && e.ID == o.id(n) {
				n++
			}
			continue
		}
		if e.ID, err = o.eventID(n); err != nil {
			return fmt.Errorf("draw an event id: %w", err)
		}
		e.Metadata = m
		n++
	}
	return nil
}

// written returns how many of the pending events tx already holds.
func (r *Root[A, E]) written(tx es.Tx) int {
	if tx != nil && r.joined.tx == tx {
		return r.joined.n
	}
	return 0
}

// expected is what an append after the first n pending events expects of the stream.
func (r *Root[A, E]) expected(n int) es.Expected {
	last := r.last
	if n > 0 {
		last = r.encoded[n-1].ID
	}
	return es.After(r.version+int64(n), last)
}

// committed moves the first n pending events into the past.
func (r *Root[A, E]) committed(n int) {
	r.version += int64(n)
	r.last = r.encoded[n-1].ID
	r.pending = slices.Clone(r.pending[n:])
	r.encoded = slices.Clone(r.encoded[n:])
	r.joined = inTx{}
}

// outcome returns the error of a save as what it means for the root: after an outcome was
// unknown it stays so until the store answers.
func (r *Root[A, E]) outcome(err error) error {
	switch {
	case err == nil, errors.Is(err, es.ErrConflict):
		r.unknown = false
	case errors.Is(err, es.ErrOutcomeUnknown):
		r.unknown = true
	case r.unknown:
		return &es.OutcomeUnknownError{Err: err}
	}
	return err
}

// loaded moves the root to a stored event that its state includes.
func (r *Root[A, E]) loaded(rec es.Recorded) {
	r.version, r.last, r.position = rec.Version, rec.ID, rec.Position
}

// origin is a state that nobody changes, and the events that follow. Copying the state
// only when somebody asks for it spares a copy for each call of Execute.
type origin[A any] struct {
	state   A
	version int64
	events  []es.EventData
}

// restore makes the state from its origin. The events have been applied to such a state
// before, so they can be.
func (r *Root[A, E]) restore() {
	if r.from == nil {
		return
	}
	from := r.from
	state, err := r.def.clone(from.state)
	for i, e := range from.events {
		if err != nil {
			break
		}
		var event E
		if event, err = r.def.events.Decode(e.Type, e.Data, e.Binary); err == nil {
			err = r.def.apply(state, event, r.stream, from.version+int64(i)+1, e.Type)
		}
	}
	if err != nil {
		panic(err)
	}
	r.state, r.from = state, nil
}
