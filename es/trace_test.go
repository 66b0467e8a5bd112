package es_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/internal/backends"
)

// recorder is a tracer that remembers what it was told. It belongs to one goroutine.
type recorder struct {
	told []string
	// loading makes the context that streams are read with, nil for the caller's.
	loading func(context.Context) context.Context
}

func (r *recorder) tracers() es.Tracers { return es.Tracers{Append: r, Load: r} }

func (r *recorder) tell(format string, args ...any) {
	r.told = append(r.told, fmt.Sprintf(format, args...))
}

func (r *recorder) TraceAppend(ctx context.Context, stream es.StreamID, events int) (context.Context, func(es.AppendResult, error)) {
	r.tell("append %d to %s", events, stream)
	return es.WithMetadata(ctx, es.Metadata{TraceParent: "traced"}), func(result es.AppendResult, err error) {
		r.tell("appended: version %d, duplicate %v, %v", result.Version, result.Duplicate, kind(err))
	}
}

func (r *recorder) TraceLoad(ctx context.Context, stream es.StreamID) (context.Context, func(int, error)) {
	r.tell("load %s", stream)
	if r.loading != nil {
		ctx = r.loading(ctx)
	}
	return ctx, func(events int, err error) { r.tell("loaded: %d, %v", events, kind(err)) }
}

// kind is the sentinel that an error is.
func kind(err error) error {
	for _, e := range []error{es.ErrConflict, es.ErrInvalidStream, es.ErrInvalidEvent, context.Canceled} {
		if errors.Is(err, e) {
			return e
		}
	}
	return err
}

// want compares what was told since the last call.
func (r *recorder) want(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, r.told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	r.told = nil
}

func traced(version int) es.EventData {
	return es.EventData{Type: "traced", Data: fmt.Appendf(nil, `{"n": %d}`, version)}
}

var tracedStream = es.StreamID{Category: "trace", Key: "1"}

func TestAppendsAreTraced(t *testing.T) {
	t.Parallel()
	backends.EachTraced(t, func(t *testing.T, open func(es.Tracers) estest.Backend) {
		var r recorder
		b := open(r.tracers())
		withID := traced(1)
		withID.ID = [16]byte{1}
		appending := func(s es.Appender, stream es.StreamID, expected es.Expected, events ...es.EventData) {
			_, _ = s.Append(t.Context(), stream, expected, events...) // the tracer sees the error
		}
		appending(b.Store, tracedStream, es.NoStream, withID, traced(2))
		r.want(t, "append 2 to trace-1", "appended: version 2, duplicate false, <nil>")
		appending(b.Store, tracedStream, es.NoStream, withID)
		r.want(t, "append 1 to trace-1", "appended: version 1, duplicate true, <nil>")
		appending(b.Store, tracedStream, es.NoStream, traced(3))
		r.want(t, "append 1 to trace-1", "appended: version 0, duplicate false, "+es.ErrConflict.Error())
		appending(b.Store, tracedStream, es.Exact(2))
		r.want(t, "append 0 to trace-1", "appended: version 2, duplicate false, <nil>")
		appending(b.Store, tracedStream, es.Any, es.EventData{Data: []byte(`{}`)})
		r.want(t, "append 1 to trace-1", "appended: version 0, duplicate false, "+es.ErrInvalidEvent.Error())
		appending(b.Store, es.StreamID{}, es.Any, traced(3))
		r.want(t, "append 1 to -", "appended: version 0, duplicate false, "+es.ErrInvalidStream.Error())
		err := b.InTx(t.Context(), func(tx es.Tx) error {
			appending(tx, tracedStream, es.Exact(2), traced(3))
			r.want(t, "append 1 to trace-1", "appended: version 3, duplicate false, <nil>")
			appending(tx, tracedStream, es.Exact(2), traced(4))
			r.want(t, "append 1 to trace-1", "appended: version 0, duplicate false, "+es.ErrConflict.Error())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for e, err := range b.Store.ReadAll(t.Context(), es.ReadAllOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Metadata.TraceParent != "traced" {
				t.Errorf("version %d lacks the tracer's metadata: %+v", e.Version, e.Metadata)
			}
		}
		r.want(t) // a scan of the log is no load
	})
}

func TestLoadsAreTraced(t *testing.T) {
	t.Parallel()
	backends.EachTraced(t, func(t *testing.T, open func(es.Tracers) estest.Backend) {
		var r recorder
		b := open(r.tracers())
		if _, err := b.Store.Append(t.Context(), tracedStream, es.NoStream, traced(1), traced(2), traced(3)); err != nil {
			t.Fatal(err)
		}
		r.told = nil
		// load loops over a stream and breaks off behind so many events.
		load := func(ctx context.Context, s es.StreamReader, stream es.StreamID, most int) {
			t.Helper()
			all := s.ReadStream(ctx, stream, es.ReadOptions{})
			r.want(t) // not before the loop begins
			n := 0
			for _, err := range all {
				_ = err // the tracer sees it
				if n++; n == most {
					break
				}
			}
		}
		load(t.Context(), b.Store, tracedStream, 0)
		r.want(t, "load trace-1", "loaded: 3, <nil>")
		load(t.Context(), b.Store, tracedStream, 2)
		r.want(t, "load trace-1", "loaded: 2, <nil>")
		load(t.Context(), b.Store, es.StreamID{Category: "trace", Key: "none"}, 0)
		r.want(t, "load trace-none", "loaded: 0, <nil>")
		load(t.Context(), b.Store, es.StreamID{}, 0)
		r.want(t, "load -", "loaded: 0, "+es.ErrInvalidStream.Error())
		r.loading = func(ctx context.Context) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx
		}
		load(t.Context(), b.Store, tracedStream, 0)
		r.want(t, "load trace-1", "loaded: 0, "+context.Canceled.Error())
		r.loading = nil
		again := b.Store.ReadStream(t.Context(), tracedStream, es.ReadOptions{From: 3})
		for range 2 {
			for _, err := range again {
				_ = err
			}
			r.want(t, "load trace-1", "loaded: 1, <nil>")
		}
		err := b.InTx(t.Context(), func(tx es.Tx) error {
			load(t.Context(), tx, tracedStream, 0)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		r.want(t, "load trace-1", "loaded: 3, <nil>")
		func() {
			defer func() { _ = recover() }()
			for _, err := range b.Store.ReadStream(t.Context(), tracedStream, es.ReadOptions{}) {
				panic(err)
			}
		}()
		r.want(t, "load trace-1", "loaded: 1, <nil>")
	})
}

// Tracers that are nil, together or each, leave everything as it is.
func TestNilTracersDoNothing(t *testing.T) {
	t.Parallel()
	backends.EachTraced(t, func(t *testing.T, open func(es.Tracers) estest.Backend) {
		var r recorder
		for _, tracers := range []es.Tracers{{}, {Append: &r}, {Load: &r}} {
			b := open(tracers)
			if _, err := b.Store.Append(t.Context(), tracedStream, es.NoStream, traced(1)); err != nil {
				t.Fatal(err)
			}
			err := b.InTx(t.Context(), func(tx es.Tx) error {
				_, err := tx.Append(t.Context(), tracedStream, es.Exact(1), traced(2))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for e, err := range b.Store.ReadStream(t.Context(), tracedStream, es.ReadOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; tracers.Append == nil && !e.Metadata.IsZero() {
					t.Errorf("version %d has the metadata %+v", e.Version, e.Metadata)
				}
			}
			if n != 2 {
				t.Errorf("%d events, want 2", n)
			}
			switch {
			case tracers.Append != nil:
				r.want(t, "append 1 to trace-1", "appended: version 1, duplicate false, <nil>",
					"append 1 to trace-1", "appended: version 2, duplicate false, <nil>")
			case tracers.Load != nil:
				r.want(t, "load trace-1", "loaded: 2, <nil>")
			}
		}
	})
}
