package aggregate

import (
	"container/list"
	"context"
	"errors"
	"sync"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/groupcommit"
)

// mostCombined bounds the calls that share an append.
const mostCombined = 256

// mostKeptPast bounds the events whose ids are kept with a state that is not in use.
const mostKeptPast = 1000

// lines has a line for each stream that calls of Execute are under way on. The calls
// of a line are executed one after another; see batch.
type lines[A Aggregate[E], E es.Event] struct {
	capacity int // of kept

	mu     sync.Mutex
	active map[es.StreamID]*line[A, E]
	// kept holds the lines that were used last and have no calls, newest first.
	kept  list.List // of *line[A, E]
	known map[es.StreamID]*list.Element
}

func newLines[A Aggregate[E], E es.Event](capacity int) *lines[A, E] {
	return &lines[A, E]{capacity: capacity, active: map[es.StreamID]*line[A, E]{}, known: map[es.StreamID]*list.Element{}}
}

// line is the calls on one stream.
type line[A Aggregate[E], E es.Event] struct {
	stream es.StreamID
	queue  *groupcommit.Queue[*call[A, E], struct{}]
	users  int // calls and a batch under way; guarded by lines.mu

	// The following belong to the batch under way, of which there is one at a time.

	// root is the aggregate as it was after some append, nil if it is not known. Nobody
	// else sees its state.
	root *Root[A, E]
	// past goes with root; nil unless there were commands with ids.
	past history
}

// execute has a call executed and returns its outcome.
func (ls *lines[A, E]) execute(r *Repository[A, E], c *call[A, E]) (*Root[A, E], error) {
	l := ls.enter(r, c.stream)
	defer ls.leave(l)
	_, err := l.queue.Do(c.ctx, c)
	switch {
	case err == nil:
		return c.answer()
	case errors.Is(err, groupcommit.ErrInFlight):
		if c.withdraw() {
			return nil, c.ctx.Err()
		}
		return nil, &es.OutcomeUnknownError{Err: c.ctx.Err()}
	case errors.Is(err, groupcommit.ErrUnanswered):
		return nil, &es.OutcomeUnknownError{Err: err}
	default:
		return nil, err
	}
}

// enter returns the line of a stream, for leave to be called later.
func (ls *lines[A, E]) enter(r *Repository[A, E], stream es.StreamID) *line[A, E] {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l, ok := ls.active[stream]
	if !ok {
		if at, kept := ls.known[stream]; kept {
			l = ls.forget(at)
		} else {
			l = &line[A, E]{stream: stream}
			l.queue = groupcommit.New(func(_ context.Context, take groupcommit.Take[*call[A, E]]) ([]struct{}, error) {
				ls.enter(r, stream)
				defer ls.leave(l)
				ctx, calls := take()
				l.execute(ctx, r, calls)
				return make([]struct{}, len(calls)), nil
			}, groupcommit.Options[*call[A, E], struct{}]{MaxBatch: mostCombined, Abandon: true})
		}
		ls.active[stream] = l
	}
	l.users++
	return l
}

func (ls *lines[A, E]) leave(l *line[A, E]) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l.users--; l.users > 0 {
		return
	}
	delete(ls.active, l.stream)
	if ls.capacity == 0 || l.root == nil {
		return
	}
	if len(l.past) > mostKeptPast {
		l.past = nil // it is loaded again when a command needs it
	}
	ls.known[l.stream] = ls.kept.PushFront(l)
	if ls.kept.Len() > ls.capacity {
		ls.forget(ls.kept.Back())
	}
}

// forget removes a line from those kept. The caller holds mu.
func (ls *lines[A, E]) forget(at *list.Element) *line[A, E] {
	l := ls.kept.Remove(at).(*line[A, E])
	delete(ls.known, l.stream)
	return l
}
