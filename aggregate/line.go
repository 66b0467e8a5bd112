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

// mostSince bounds the events after which a line copies its state for those who may ask
// for it.
const mostSince = 32

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
	// from makes the state of root, nil if nobody has needed that yet. Roots that were
	// handed out make theirs from it and some of its events.
	from *origin[A]
}

// use makes root, which may be nil, the line's.
func (l *line[A, E]) use(root *Root[A, E]) { l.root, l.from = root, nil }

// advance moves the line's root over what a round has written, and gives the roots of the
// round their states, where they are to be found. With handOver, the line's own state goes
// to the root of the only call, because nobody else needs it.
func (l *line[A, E]) advance(r *round[A, E], handOver bool) error {
	now := l.root
	if !handOver {
		if err := l.share(r); err != nil {
			return err
		}
	}
	if r.copied {
		if err := r.advance(); err != nil {
			return err
		}
		now.state = r.state
	} else {
		for i, e := range r.events {
			if err := now.def.apply(now.state, e, now.stream, now.version+int64(i)+1, r.encoded[i].Type); err != nil {
				return err
			}
		}
	}
	now.last = r.lastID(len(r.events))
	now.version, now.position = now.version+int64(len(r.events)), r.position
	if own := r.calls[0].root; handOver && own != nil {
		own.state = now.state
	}
	return nil
}

// share gives the roots of a round the origin of their states, before the line advances.
func (l *line[A, E]) share(r *round[A, E]) (err error) {
	def, now := l.root.def, l.root
	switch {
	case l.from != nil && len(l.from.events) <= mostSince && (!def.cheap || len(l.from.events) == 0):
	case r.copied: // and the state itself is left alone
		l.from = &origin[A]{state: now.state, version: now.version}
	default:
		l.from = &origin[A]{version: now.version}
		if l.from.state, err = def.clone(now.state); err != nil {
			return err
		}
	}
	before := len(l.from.events)
	l.from = &origin[A]{state: l.from.state, version: l.from.version, events: append(l.from.events, r.encoded...)}
	for i, c := range r.calls {
		if n := before + r.ends[i]; c.root != nil {
			c.root.from = &origin[A]{state: l.from.state, version: l.from.version, events: l.from.events[:n:n]}
		}
	}
	return nil
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
				l.execute(ctx, r, calls, func() bool { return ls.capacity > 0 || ls.others(l, len(calls)) })
				return make([]struct{}, len(calls)), nil
			}, groupcommit.Options[*call[A, E], struct{}]{MaxBatch: mostCombined, Abandon: true})
		}
		ls.active[stream] = l
	}
	l.users++
	return l
}

// others reports whether anybody uses a line beside a batch of so many calls.
func (ls *lines[A, E]) others(l *line[A, E], calls int) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return l.users > calls+1
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
