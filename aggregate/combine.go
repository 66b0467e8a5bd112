package aggregate

import (
	"context"
	"errors"
	"slices"

	"github.com/peatlog/peat/es"
)

// combinedBytes is how large the payloads of several calls in one append get, about.
const combinedBytes = 1 << 20

// execute executes calls, in their order, in as few appends as possible. Each gets its
// outcome.
func (l *line[A, E]) execute(ctx context.Context, r *Repository[A, E], calls []*call[A, E]) {
	ctx, cancel := contextOf(ctx, calls)
	defer cancel()
	b := &batch[A, E]{line: l, repo: r, calls: calls, most: len(calls)}
	for attempt := 1; len(b.calls) > 0; {
		again, err := b.attempt(ctx)
		if !again {
			continue
		}
		if attempt >= r.retry.Attempts {
			b.fail(err)
			return
		}
		if ctxErr := r.retry.wait(ctx, attempt); ctxErr != nil {
			b.fail(errors.Join(ctxErr, err))
			return
		}
		attempt++
	}
}

// contextOf returns the context for executing the calls, which ends with ctx. A call
// alone has what its own context carries. Several have nothing of any of them: the
// events have their metadata, and nobody's must go to another's.
func contextOf[A Aggregate[E], E es.Event](ctx context.Context, calls []*call[A, E]) (context.Context, context.CancelFunc) {
	values := context.Background()
	if len(calls) == 1 {
		values = context.WithoutCancel(calls[0].ctx)
	}
	combined, cancel := context.WithCancel(values)
	stop := context.AfterFunc(ctx, cancel)
	return combined, func() { stop(); cancel() }
}

// batch is the calls that are executed together.
type batch[A Aggregate[E], E es.Event] struct {
	line  *line[A, E]
	repo  *Repository[A, E]
	calls []*call[A, E] // that have no outcome yet
	// most is how many calls may write in one append: 1 after an append was refused, in
	// order to find out which call's events are at fault.
	most int
	// fresh tells that the line's root was the present one at some time since the batch
	// began, so that what was decided on it and writes nothing needs no proof.
	fresh bool
}

// attempt executes as many calls as go into one append. It asks to be called again,
// after a pause, when another writer was faster.
func (b *batch[A, E]) attempt(ctx context.Context) (again bool, _ error) {
	if err := b.prepare(ctx); err != nil {
		b.line.root = nil
		b.fail(err)
		return false, nil
	}
	round := b.decide()
	if round == nil {
		return false, nil
	}
	err := round.commit(ctx)
	switch {
	case err == nil && round.foreign():
		// The commands landed from elsewhere: what counts is what is stored.
		_ = b.catchUp(ctx) // the calls have its error
		return false, nil
	case err == nil:
		b.settle(round)
		return false, nil
	case errors.Is(err, es.ErrConflict):
		for _, c := range b.calls {
			c.yield()
		}
		// A state that was kept may be old: nobody was faster than a load then.
		faster := b.fresh
		if b.catchUp(ctx) != nil {
			return false, nil
		}
		return faster, err
	case round.writers > 1 && isRefusal(err):
		b.most = 1
		return false, nil
	default:
		b.refuse(round, err)
		return false, nil
	}
}

// isRefusal reports whether an append failed for what is in it.
func isRefusal(err error) bool {
	return errors.Is(err, es.ErrInvalidEvent) || errors.Is(err, es.ErrTooLarge)
}

// prepare sees to it that the line has a root, and knows the past where a command has
// to be recognised.
func (b *batch[A, E]) prepare(ctx context.Context) error {
	l := b.line
	identified := slices.ContainsFunc(b.calls, func(c *call[A, E]) bool { return c.id != "" })
	if l.root != nil && (l.past != nil || !identified) {
		return nil
	}
	if l.past = nil; identified {
		l.past = history{}
	}
	root, err := b.repo.load(ctx, l.stream, l.past)
	l.root, b.fresh = root, true
	return err
}

// catchUp reads what others have written. What goes wrong is the outcome of all calls,
// and returned.
func (b *batch[A, E]) catchUp(ctx context.Context) error {
	err := b.repo.replay(ctx, b.line.root, b.line.past)
	if b.fresh = true; err != nil {
		b.line.root = nil
		b.fail(err)
	}
	return err
}

// fail gives all calls that have no outcome this one.
func (b *batch[A, E]) fail(err error) {
	for _, c := range b.calls {
		c.root, c.err = nil, err
	}
	b.calls = nil
}

// settle makes what the round has written the state of the line, and leaves the calls
// that were not in it.
func (b *batch[A, E]) settle(r *round[A, E]) {
	for _, e := range r.ids {
		b.line.past.see(e)
	}
	position := b.line.root.position
	if len(r.ids) > 0 {
		position = r.root.result.Position
	}
	r.root.position, r.root.result = position, es.AppendResult{}
	b.line.root, b.fresh = r.root, true
	for _, c := range b.calls[:r.n] {
		if c.root != nil && c.root.result.Version > 0 {
			c.root.result.Position = position
		}
	}
	b.calls = b.calls[r.n:]
}

// refuse gives the calls of the round that write, and those that decided on what these
// write, an error. Those before them decide again.
func (b *batch[A, E]) refuse(r *round[A, E], err error) {
	for _, c := range b.calls[r.first:r.n] {
		c.root, c.err = nil, err
	}
	b.calls = slices.Concat(b.calls[:r.first], b.calls[r.n:])
}
