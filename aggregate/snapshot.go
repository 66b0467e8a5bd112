package aggregate

import (
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
)

// commandWindow is how many events before a snapshot are searched for a
// repeated command.
const commandWindow = 100

// Snapshots says when to keep an aggregate's state beside its stream. The zero
// value keeps none.
type Snapshots struct {
	// Every is the number of events from one snapshot to the next.
	Every int
	// Schema is the version of the state's form and meaning. Count it up
	// whenever the state or its Apply changes: snapshots of another number are
	// ignored and the stream is replayed in full.
	Schema int
}

func (s Snapshots) enabled() bool { return s.Every > 0 }

// WithSnapshots returns a definition whose repositories take snapshots. The
// state is stored as JSON, so what it needs must be in exported fields or in
// its own MarshalJSON. It panics if Every is not positive or a field of the state
// is unexported and would be lost.
func (d *Definition[A, E]) WithSnapshots(s Snapshots) *Definition[A, E] {
	if !s.enabled() {
		panic(fmt.Errorf("aggregate: snapshots of %s: Every must be positive, is %d", d.category, s.Every))
	}
	if path := lostField(reflect.TypeFor[A](), map[reflect.Type]bool{}); path != "" {
		panic(fmt.Errorf("aggregate: snapshots of %s would lose the field %s: export it or implement json.Marshaler", d.category, path))
	}
	c := *d
	c.snapshots = s
	return &c
}

// loadSnapshot loads from the latest snapshot and the events behind it. It
// returns nil where no snapshot fits, and the stream has to be replayed.
func (r *Repository[A, E]) loadSnapshot(ctx context.Context, stream es.StreamID, past history) (*Root[A, E], error) {
	snap, ok, err := r.store.ReadSnapshot(ctx, stream)
	if err != nil || !ok || snap.Schema != r.def.snapshots.Schema {
		return nil, err
	}
	root := r.def.newRoot(stream)
	if err := decodeState(snap.Data, &root.state); err != nil {
		r.log.WarnContext(ctx, "snapshot_undecodable", "stream", stream.String(), "version", snap.Version, "error", err)
		return nil, nil
	}
	fits, err := r.verifySnapshot(ctx, snap, root, past)
	if err != nil {
		return nil, err
	}
	if !fits {
		r.log.WarnContext(ctx, "snapshot_of_another_history", "stream", stream.String(), "version", snap.Version)
		return nil, nil
	}
	if err := r.replay(ctx, root, past); err != nil {
		return nil, err
	}
	return root, nil
}

// verifySnapshot reads the event that the snapshot was taken at, which proves
// that it belongs to this history and that the stream is not shorter, and moves
// root there. For a history it goes further back.
func (r *Repository[A, E]) verifySnapshot(ctx context.Context, snap es.Snapshot, root *Root[A, E], past history) (bool, error) {
	opts := es.ReadOptions{From: snap.Version, Backward: true, Limit: 1}
	if past != nil {
		opts.Limit = commandWindow
	}
	for rec, err := range r.store.ReadStream(ctx, snap.Stream, opts) {
		if err != nil {
			return false, err
		}
		if root.version == 0 {
			if rec.Version != snap.Version || rec.ID != snap.EventID {
				return false, nil
			}
			root.loaded(rec)
		}
		past.see(rec.ID)
	}
	return root.version > 0, nil
}

// decodeState decodes a snapshot, whatever is in it.
func decodeState[A any](data []byte, state *A) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if string(data) == "null" {
		return errors.New("it is null")
	}
	return codec.JSON.Unmarshal(data, state)
}

// takeSnapshot returns the snapshot that is due when root reaches version, nil
// if none is.
func (r *Repository[A, E]) takeSnapshot(ctx context.Context, root *Root[A, E], version int64) *es.Snapshot {
	every := int64(r.def.snapshots.Every)
	if every <= 0 || root.version/every == version/every {
		return nil
	}
	data, err := codec.JSON.Marshal(root.state)
	if err != nil {
		r.log.WarnContext(ctx, "snapshot_unencodable", "stream", root.stream.String(), "version", version, "error", err)
		return nil
	}
	return &es.Snapshot{
		Stream: root.stream, Version: version, EventID: root.encoded[len(root.encoded)-1].ID,
		Schema: r.def.snapshots.Schema, Data: data,
	}
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

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// lostField returns the path of a field that JSON would drop, "" if there is none.
func lostField(t reflect.Type, seen map[reflect.Type]bool) string {
	if seen[t] || t.Implements(jsonMarshaler) || t.Implements(textMarshaler) ||
		reflect.PointerTo(t).Implements(jsonMarshaler) || reflect.PointerTo(t).Implements(textMarshaler) {
		return ""
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return lostField(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			if path := lostInField(f, seen); path != "" {
				return path
			}
		}
	default: // JSON keeps the rest, or fails loudly
	}
	return ""
}

func lostInField(f reflect.StructField, seen map[reflect.Type]bool) string {
	embedded := f.Anonymous && f.Type.Kind() == reflect.Struct
	if !f.IsExported() && !embedded || f.Tag.Get("json") == "-" {
		return f.Name
	}
	if path := lostField(f.Type, seen); path != "" {
		return f.Name + "." + path
	}
	return ""
}
