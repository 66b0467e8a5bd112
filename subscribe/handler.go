package subscribe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
)

// Events decodes a union of events and knows their names. A *codec.Union is one. If it has
// a method Category() string, as the Events of an aggregate's Definition have, the handler
// gets the events of that category only. If it has a method Partial() bool that returns
// true, as a codec.Part does, the handler passes by the events of other names.
type Events[E es.Event] interface {
	es.Decoder[E]
	Names() []string
}

// Projection handles the events of a union, one after another.
type Projection[E es.Event] interface {
	// Handle deals with one event. Its context carries the event as the cause of
	// what is appended with it, and ends when the handler has taken too long or the
	// runner stops. An error or a panic has the event handed over again.
	Handle(ctx context.Context, e es.Envelope[E]) error
}

// Func is a function as a [Projection].
type Func[E es.Event] func(ctx context.Context, e es.Envelope[E]) error

// Handle calls f.
func (f Func[E]) Handle(ctx context.Context, e es.Envelope[E]) error { return f(ctx, e) }

// None stands in the place of a transaction where there is none.
type None struct{}

// Handler handles events of one union in a transaction of kind T, the type of the
// events no longer being known. It is made by [Each], [Batch], [EachIn], [BatchIn]
// and [EachRecorded], and given to [AtLeastOnce] or [Transactional]. A handler is
// called by one goroutine at a time per segment.
type Handler[T any] struct {
	names    []string // nil: all events
	category string   // "": any
	partial  bool     // events of other names are passed by
	handle   handle[T]
	prepare  func(ctx context.Context, tx T, generation int) error
	takeOver func(ctx context.Context, tx T, from, to int) error
}

// Each hands over one event at a time.
func Each[E es.Event](events Events[E], p Projection[E]) Handler[None] {
	return EachIn(events, func(ctx context.Context, _ None, e es.Envelope[E]) error { return p.Handle(ctx, e) })
}

// Batch hands over the events of a batch at once, in order. With several handlers,
// a batch ends where an event is another one's.
func Batch[E es.Event](events Events[E], handle func(ctx context.Context, batch []es.Envelope[E]) error) Handler[None] {
	return BatchIn(events, func(ctx context.Context, _ None, batch []es.Envelope[E]) error { return handle(ctx, batch) })
}

// EachIn hands over one event at a time, with the transaction that the progress is
// stored in: a pgx.Tx, a *sql.Tx, or a *pgx.Batch to queue statements on, which are
// sent together.
func EachIn[T any, E es.Event](events Events[E], handle func(ctx context.Context, tx T, e es.Envelope[E]) error) Handler[T] {
	return of(events, eachOf(func(ctx context.Context, tx T, r es.Recorded) error {
		e, err := es.Decode(events, r)
		if errors.Is(err, codec.ErrNotInPart) {
			return nil
		}
		if err != nil {
			return err
		}
		return handle(ctx, tx, e)
	}))
}

// of returns the handler of a union of events.
func of[T any, E es.Event](events Events[E], handle handle[T]) Handler[T] {
	h := Handler[T]{names: events.Names(), handle: handle}
	if u, ok := events.(interface{ Category() string }); ok {
		h.category = u.Category()
	}
	if u, ok := events.(interface{ Partial() bool }); ok {
		h.partial = u.Partial()
	}
	return h
}

// BatchIn hands over the events of a batch at once, with the transaction that the
// progress is stored in.
func BatchIn[T any, E es.Event](events Events[E], handle func(ctx context.Context, tx T, batch []es.Envelope[E]) error) Handler[T] {
	return of(events, func(ctx context.Context, tx T, batch []es.Recorded, l limits) (int, error) {
		decoded := make([]es.Envelope[E], 0, len(batch))
		for i, r := range batch {
			e, err := es.Decode(events, r)
			if errors.Is(err, codec.ErrNotInPart) {
				continue
			}
			if err != nil {
				return i, err
			}
			decoded = append(decoded, e)
		}
		if len(decoded) == 0 {
			return len(batch), nil
		}
		ctx, cancel := context.WithTimeout(ctx, l.timeout)
		defer cancel()
		if err := contained(func() error { return handle(ctx, tx, decoded) }); err != nil {
			return 0, &wholeError{err}
		}
		return len(batch), nil
	})
}

// EachRecorded hands over every event as the log holds it, whatever its type.
func EachRecorded(handle func(ctx context.Context, r es.Recorded) error) Handler[None] {
	return Handler[None]{handle: eachOf(func(ctx context.Context, _ None, r es.Recorded) error { return handle(ctx, r) })}
}

// OnRebuild makes a projection one that can be rebuilt while it is in use: see
// [Runner.Rebuild]. The handlers must then write to the place of their generation,
// which [Generation] tells.
//
// prepare makes that place before the first event; it may be called several times.
// takeOver lets readers see the new generation in the place of the old one, such as
// by renaming tables, and cleans up; it runs in the transaction that makes the new
// generation the live one. Either may be nil.
func OnRebuild[T any](prepare func(ctx context.Context, tx T, generation int) error, takeOver func(ctx context.Context, tx T, from, to int) error) Handler[T] {
	if prepare == nil {
		prepare = func(context.Context, T, int) error { return nil }
	}
	if takeOver == nil {
		takeOver = func(context.Context, T, int, int) error { return nil }
	}
	return Handler[T]{prepare: prepare, takeOver: takeOver}
}

// handle hands over events, and returns how many were dealt with: all, or, with the
// error that it is, those before the one that failed, or, without an error, as many
// as the limits allowed.
type handle[T any] func(ctx context.Context, tx T, events []es.Recorded, l limits) (int, error)

// limits bound the time of a handler.
type limits struct {
	timeout time.Duration // of one call
	until   time.Time     // begin no further call then; zero for no bound
	others  bool          // pass by what no handler knows
}

// wholeError is an error of a handler that cannot tell which event it is about.
type wholeError struct{ error }

// Unwrap returns the handler's error.
func (e *wholeError) Unwrap() error { return e.error }

// eachOf makes a handler of a function for one event.
func eachOf[T any](one func(ctx context.Context, tx T, r es.Recorded) error) handle[T] {
	return func(ctx context.Context, tx T, events []es.Recorded, l limits) (int, error) {
		for i, r := range events {
			if i > 0 && !l.until.IsZero() && time.Now().After(l.until) {
				return i, nil
			}
			ctx, cancel := context.WithTimeout(causedBy(ctx, r), l.timeout)
			err := contained(func() error { return one(ctx, tx, r) })
			cancel()
			if err != nil {
				return i, err
			}
		}
		return len(events), nil
	}
}

// causedBy returns a context in which what is appended follows from the event. A
// trace that the context is part of already, such as a tracer's, is not left: it is
// the tracer's to tie it to that of the event.
func causedBy(ctx context.Context, r es.Recorded) context.Context {
	id := r.ID.String()
	m := es.Metadata{CausationID: id, CorrelationID: id, Actor: r.Metadata.Actor, TraceParent: cmp.Or(es.MetadataFrom(ctx).TraceParent, r.Metadata.TraceParent)}
	if r.Metadata.CorrelationID != "" {
		m.CorrelationID = r.Metadata.CorrelationID
	}
	return es.WithMetadata(ctx, m)
}

// contained runs f and makes an error of its panic.
func contained(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: fmt.Sprint(p), Stack: string(debug.Stack())}
		}
	}()
	return f()
}
