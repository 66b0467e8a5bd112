package aggregate

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/google/uuid"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/deep"
)

// Snapshots says when to keep an aggregate's state beside its stream. The zero
// value keeps none.
type Snapshots struct {
	// Every is the number of events from one snapshot to the next.
	Every int
	// Schema is the version of the state's meaning. Count it up whenever Apply
	// changes: snapshots of another number are ignored and the stream is replayed in
	// full. A change of the state's type is noticed without it, because snapshots
	// carry a fingerprint of the type.
	Schema int
}

func (s Snapshots) enabled() bool { return s.Every > 0 }

// WithSnapshots returns a definition whose repositories take snapshots. The
// state is stored as JSON, so what it needs must be in exported fields or in
// its own MarshalJSON and UnmarshalJSON. A snapshot is only written if the state comes back
// from it as it was; where it does not, that is logged once, and nothing is lost but time.
//
// It panics if Every is not positive, or if the state's type has a field that can never
// come back, such as an unexported one or an interface.
func (d *Definition[A, E]) WithSnapshots(s Snapshots) *Definition[A, E] {
	if !s.enabled() {
		panic(fmt.Errorf("aggregate: snapshots of %s: Every must be positive, is %d", d.category, s.Every))
	}
	t := reflect.TypeFor[A]()
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if err := codec.JSON.(codec.Checker).Check(t); err != nil {
		panic(fmt.Errorf("aggregate: snapshots of %s: %w", d.category, err))
	}
	c := *d
	c.snapshots = s
	c.form = deep.Fingerprint(t)
	return &c
}

// DeleteSnapshots deletes the snapshots of all aggregates of the definition, so that their
// streams are replayed in full, and returns how many there were. It is for an Apply that
// was changed without counting up Schema.
func (r *Repository[A, E]) DeleteSnapshots(ctx context.Context) (int, error) {
	return r.store.DeleteSnapshots(ctx, r.def.category)
}

// loadSnapshot loads from the latest snapshot and the events after it. It
// returns nil where no snapshot fits, and the stream has to be replayed.
func (r *Repository[A, E]) loadSnapshot(ctx context.Context, stream es.StreamID) (*Root[A, E], error) {
	snap, ok, err := r.store.ReadSnapshot(ctx, stream)
	if err != nil || !ok || snap.Schema != r.def.snapshots.Schema || snap.Form != r.def.form {
		return nil, err
	}
	state, err := decodeState[A](snap.Data)
	if err != nil {
		r.log.WarnContext(ctx, "snapshot_undecodable", "stream", stream.String(), "version", snap.Version, "error", err)
		return nil, nil
	}
	// The event that the snapshot was taken at proves that it belongs to this history.
	root := &Root[A, E]{def: r.def, stream: stream, state: state, version: snap.Version, last: snap.EventID}
	switch err := r.replay(ctx, root, nil); {
	case errors.Is(err, errOtherHistory):
		r.log.WarnContext(ctx, "snapshot_of_another_history", "stream", stream.String(), "version", snap.Version)
		return nil, nil
	case err != nil:
		return nil, err
	}
	return root, nil
}

// decodeState decodes a snapshot, whatever is in it, into a state that holds nothing yet.
func decodeState[A any](data []byte) (state A, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if string(data) == "null" {
		return state, errors.New("it is null")
	}
	t := reflect.TypeFor[A]()
	if t.Kind() != reflect.Pointer {
		err = codec.JSON.Unmarshal(data, &state)
		return state, err
	}
	state = reflect.New(t.Elem()).Interface().(A)
	return state, codec.JSON.Unmarshal(data, state)
}

// takeSnapshot returns the snapshot that is due when a stream has grown from one version to
// another, whose event has the id last, and root has the state of that; nil if none is due.
func (r *Repository[A, E]) takeSnapshot(ctx context.Context, root *Root[A, E], before, version int64, last uuid.UUID) *es.Snapshot {
	every := int64(r.def.snapshots.Every)
	if every <= 0 || before/every == version/every {
		return nil
	}
	state := root.State()
	var stored any = state
	if reflect.TypeFor[A]().Kind() != reflect.Pointer {
		stored = &state // it may have methods on the pointer
	}
	data, err := codec.JSON.Marshal(stored)
	if err == nil {
		err = comesBack(state, data)
	}
	if err != nil {
		if !r.warned.Swap(true) {
			r.log.WarnContext(ctx, "snapshot_differs_from_state", "stream", root.stream.String(), "version", version, "error", err)
		}
		return nil
	}
	return &es.Snapshot{
		Stream: root.stream, Version: version, EventID: last,
		Schema: r.def.snapshots.Schema, Form: r.def.form, Data: data,
	}
}

// comesBack returns an error if a state is not what its snapshot holds.
func comesBack[A any](state A, data []byte) error {
	back, err := decodeState[A](data)
	if err != nil {
		return err
	}
	if path := deep.Difference(reflect.ValueOf(&state), reflect.ValueOf(&back)); path != "" {
		return fmt.Errorf("%s does not come back from JSON as it was; store it in another form, or implement MarshalJSON and UnmarshalJSON", path)
	}
	return nil
}

// writeSnapshot stores s, if it is not nil. A failure costs time at the next
// load and nothing else, so it is only logged.
func (r *Repository[A, E]) writeSnapshot(ctx context.Context, s *es.Snapshot) {
	if s == nil {
		return
	}
	if err := r.base.WriteSnapshot(ctx, *s); err != nil {
		r.log.WarnContext(ctx, "snapshot_not_written", "stream", s.Stream.String(), "version", s.Version, "error", err)
	}
}
