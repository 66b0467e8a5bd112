package aggregate

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
)

// Root is one aggregate in memory: its state, where that state stands in the
// stream, and the events that are recorded but not saved yet. It belongs to one
// goroutine.
type Root[A Aggregate[E], E es.Event] struct {
	stream   es.StreamID
	state    A
	version  int64 // of the last event known to be committed
	position int64 // of the last event loaded
	pending  []E
	encoded  []es.EventData // pending, as far as encoded: their ids never change
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
func (r *Root[A, E]) State() A { return r.state }

// Version returns the version of the last event known to be committed, 0 for a
// new aggregate.
func (r *Root[A, E]) Version() int64 { return r.version }

// Pending returns a copy of the events that are recorded and not known to be
// committed. A failed save leaves them here, for another try; so does a save in
// a transaction, until that commits.
func (r *Root[A, E]) Pending() []E { return slices.Clone(r.pending) }

// LastAppend returns where the events of the last save are; the zero value
// before one. After an Execute whose command had landed before, Duplicate is
// true and the rest is where the stream stands now.
func (r *Root[A, E]) LastAppend() es.AppendResult { return r.result }

// Record applies the events to the state and keeps them for the next save.
func (r *Root[A, E]) Record(events ...E) {
	for _, e := range events {
		r.state.Apply(e)
	}
	r.pending = append(r.pending, events...)
}

// encode encodes the pending events that are not encoded yet, with ids from
// newID. It changes nothing when it fails.
func (r *Root[A, E]) encode(events *codec.Union[E], newID func(i int) (uuid.UUID, error)) error {
	encoded := slices.Clip(r.encoded)
	for i := len(encoded); i < len(r.pending); i++ {
		name, data, binary, err := events.Encode(r.pending[i])
		if err != nil {
			return fmt.Errorf("encode event %d for %s: %w", i+1, r.stream, err)
		}
		id, err := newID(i)
		if err != nil {
			return fmt.Errorf("draw an event id: %w", err)
		}
		encoded = append(encoded, es.EventData{ID: id, Type: name, Data: data, Binary: binary})
	}
	r.encoded = encoded
	return nil
}

// written returns how many of the pending events tx already holds.
func (r *Root[A, E]) written(tx es.Tx) int {
	if tx != nil && r.joined.tx == tx {
		return r.joined.n
	}
	return 0
}

// committed moves the first n pending events into the past.
func (r *Root[A, E]) committed(n int) {
	r.version += int64(n)
	r.pending = slices.Clone(r.pending[n:])
	r.encoded = slices.Clone(r.encoded[n:])
	r.joined = inTx{}
}

// loaded moves the root to a stored event that its state includes.
func (r *Root[A, E]) loaded(rec es.Recorded) {
	r.version, r.position = rec.Version, rec.Position
}
