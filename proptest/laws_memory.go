package proptest

import (
	"context"
	"io"
	"iter"

	"github.com/peatlog/peat/es"
)

// memory is what a repository needs of a store, in memory, for one goroutine. An append
// can be overtaken, and its answer lost.
type memory struct {
	streams   map[es.StreamID][]es.Recorded
	snapshots map[es.StreamID]es.Snapshot
	position  int64
	// overtake, if not nil, runs once, before the next append.
	overtake func()
	// lose is how many answers of appends are lost; written tells whether what they
	// append lands.
	lose    int
	written bool
}

// Append implements [es.Appender].
func (m *memory) Append(ctx context.Context, stream es.StreamID, expected es.Expected, events ...es.EventData) (es.AppendResult, error) {
	p, err := es.Prepare(ctx, stream, expected, events, es.DefaultMaxEventBytes)
	if err != nil {
		return es.AppendResult{}, err
	}
	if f := m.overtake; f != nil {
		m.overtake = nil
		f()
	}
	if m.lose > 0 {
		if m.lose--; m.written {
			if _, err := m.write(p); err != nil {
				return es.AppendResult{}, err
			}
		}
		return es.AppendResult{}, &es.OutcomeUnknownError{Err: io.ErrUnexpectedEOF}
	}
	return m.write(p)
}

func (m *memory) write(p es.Prepared) (es.AppendResult, error) {
	have := m.streams[p.Stream]
	if !p.Expected.Admits(int64(len(have))) {
		if at, ok := p.Expected.Version(); ok && m.holds(p, at) {
			last := have[at+int64(len(p.Events))-1]
			return es.AppendResult{Version: last.Version, Position: last.Position, Duplicate: true}, nil
		}
		return es.AppendResult{}, &es.ConflictError{Stream: p.Stream, Expected: p.Expected, Actual: int64(len(have))}
	}
	for _, e := range p.Events {
		m.position++
		have = append(have, es.Recorded{
			Position: m.position, Stream: p.Stream, Version: int64(len(have)) + 1, ID: e.ID,
			Type: e.Type, Data: e.Data, Binary: e.Binary, Metadata: e.Metadata,
		})
	}
	if m.streams == nil {
		m.streams = map[es.StreamID][]es.Recorded{}
	}
	m.streams[p.Stream] = have
	return es.AppendResult{Version: int64(len(have)), Position: m.position}, nil
}

// holds tells whether the events of p are right behind version at.
func (m *memory) holds(p es.Prepared, at int64) bool {
	have := m.streams[p.Stream]
	if len(p.Events) == 0 || at+int64(len(p.Events)) > int64(len(have)) {
		return false
	}
	for i, e := range p.Events {
		if have[at+int64(i)].ID != e.ID {
			return false
		}
	}
	return true
}

// ReadStream implements [es.StreamReader].
func (m *memory) ReadStream(_ context.Context, stream es.StreamID, opts es.ReadOptions) iter.Seq2[es.Recorded, error] {
	return func(yield func(es.Recorded, error) bool) {
		have := m.streams[stream]
		at, step := max(opts.From, 1), int64(1)
		if opts.Backward {
			if at, step = opts.From, -1; at == 0 || at > int64(len(have)) {
				at = int64(len(have))
			}
		}
		for n := 0; at >= 1 && at <= int64(len(have)) && (opts.Limit == 0 || n < opts.Limit); n++ {
			if !yield(have[at-1], nil) {
				return
			}
			at += step
		}
	}
}

// ReadSnapshot implements [es.Snapshotter].
func (m *memory) ReadSnapshot(_ context.Context, stream es.StreamID) (es.Snapshot, bool, error) {
	s, ok := m.snapshots[stream]
	return s, ok, nil
}

// WriteSnapshot implements [es.Snapshotter].
func (m *memory) WriteSnapshot(_ context.Context, s es.Snapshot) error {
	if m.snapshots == nil {
		m.snapshots = map[es.StreamID]es.Snapshot{}
	}
	m.snapshots[s.Stream] = s
	return nil
}
