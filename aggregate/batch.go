package aggregate

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

// combinedBytes is how large the payloads of several calls in one append get, about.
const combinedBytes = 1 << 20

// batch is the calls that are executed together.
type batch[A Aggregate[E], E es.Event] struct {
	line  *line[A, E]
	repo  *Repository[A, E]
	calls []*call[A, E] // that have no outcome yet
	// keep reports whether somebody may need the line's state after the batch.
	keep func() bool
	// most is how many calls may write in one append: 1 after an append was refused, in
	// order to find out which call's events are at fault.
	most int
	// fresh tells that the line's root was the present one at some time since the batch
	// began, so that what was decided on it and writes nothing needs no proof.
	fresh bool
	// stale tells that an attempt has failed because the state that was kept was old.
	stale bool
	// landed are the commands of the batch that are in the log, by the id that each is
	// found by.
	landed map[uuid.UUID]es.Recorded
}

// execute executes calls, in their order, in as few appends as possible. Each gets its
// outcome. Every attempt gives one of them its outcome, or counts.
func (l *line[A, E]) execute(ctx context.Context, r *Repository[A, E], calls []*call[A, E], keep func() bool) {
	ctx, cancel := contextOf(ctx, calls)
	defer cancel()
	b := &batch[A, E]{line: l, repo: r, calls: calls, keep: keep, most: len(calls), landed: map[uuid.UUID]es.Recorded{}}
	for attempt := 1; len(b.calls) > 0; {
		before, most := len(b.calls), b.most
		b.stale = false
		err := b.attempt(ctx)
		switch {
		case len(b.calls) < before, b.most < most:
			continue
		case b.stale:
			continue // nobody was faster than a load; and from now on the state is fresh
		case err == nil:
			err = errors.New("an attempt has answered nobody, which is a defect of peat")
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

// attempt executes as many calls as go into one append. Its error is why those that are
// left are to be executed again.
func (b *batch[A, E]) attempt(ctx context.Context) error {
	round := b.round(ctx)
	if round == nil {
		return nil
	}
	v, err := round.commit(ctx)
	switch v {
	case written:
		b.settle(ctx, round)
	case landed:
		for _, c := range round.calls {
			c.unknown = c.unknown || len(c.events) > 0
		}
		return b.reload(err)
	case conflict:
		b.forget(round.calls)
		return b.overtaken(ctx, err)
	case refused:
		b.forget(round.calls)
		b.most = 1
	case unproven:
		b.answer(round, 0, err)
	case failed:
		// Those before the first one that writes decide again.
		b.answer(round, round.first, err)
	}
	return nil
}

// round returns a round that is ready to be sent, nil if there is none. What panics is the
// user's code, and nothing is sent: all calls get that.
func (b *batch[A, E]) round(ctx context.Context) (r *round[A, E]) {
	defer func() {
		if p := recover(); p != nil {
			r = nil
			b.line.use(nil)
			b.fail(fmt.Errorf("nothing was written: making, reading or copying the state of %s: %w", b.line.stream, &PanicError{Value: p, Stack: string(debug.Stack())}))
		}
	}()
	if !b.prepare(ctx) {
		return nil
	}
	if r = b.decide(); r == nil || b.withdraw(r) {
		return nil
	}
	return r
}

// withdraw gives those calls of a round their outcome whose callers have gone before
// anything was sent. It reports whether there are any that would have written, so that
// those after them have to decide again.
func (b *batch[A, E]) withdraw(r *round[A, E]) bool {
	gone := func(c *call[A, E]) bool { return len(c.events) > 0 && c.ctx.Err() != nil }
	if !slices.ContainsFunc(r.calls, gone) {
		return false
	}
	b.forget(r.calls)
	for _, c := range r.calls {
		if gone(c) {
			c.fail(c.ctx.Err())
			b.remove(c)
		}
	}
	return true
}

// forget undoes what was noted of calls whose events are known not to be written, and
// which are to decide again: until then, they can be withdrawn.
func (b *batch[A, E]) forget(calls []*call[A, E]) {
	for _, c := range calls {
		if len(c.events) > 0 {
			delete(b.landed, c.firstID())
		}
		c.yield()
	}
}

// remove takes a call that has its outcome out of the batch.
func (b *batch[A, E]) remove(c *call[A, E]) {
	b.calls = slices.DeleteFunc(slices.Clone(b.calls), func(other *call[A, E]) bool { return other == c })
}

func isConflict(err error) bool    { return errors.Is(err, es.ErrConflict) }
func isDuplicateID(err error) bool { return errors.Is(err, es.ErrDuplicateID) }

// isRefusal reports whether an append failed for what is in it.
func isRefusal(err error) bool {
	return errors.Is(err, es.ErrInvalidEvent) || errors.Is(err, es.ErrTooLarge) || errors.Is(err, es.ErrDuplicateID)
}

// prepare sees to it that the line has a root, and that it is known of each command whether
// it is in the log. What goes wrong is the outcome of all calls.
func (b *batch[A, E]) prepare(ctx context.Context) (ok bool) {
	if b.line.root == nil {
		root, all, err := b.repo.loadWatching(ctx, b.line.stream, b.watch())
		if err != nil {
			b.fail(err)
			return false
		}
		b.line.use(root)
		b.fresh = true
		for _, c := range b.calls {
			c.resolved = c.resolved || all
		}
	}
	var ids []uuid.UUID
	for _, c := range b.calls {
		if c.ID != "" && !c.resolved {
			ids = append(ids, c.firstID())
		}
	}
	if len(ids) == 0 {
		return true
	}
	found, err := b.repo.store.FindEvents(ctx, ids...)
	if err != nil {
		b.fail(err)
		return false
	}
	for _, rec := range found {
		b.landed[rec.ID] = rec
	}
	for _, c := range b.calls {
		c.resolved = true
	}
	return true
}

// watch returns a function that notes which commands of the batch are among the events
// that it is shown, nil if none has an id.
func (b *batch[A, E]) watch() func(es.Recorded) {
	wanted := map[uuid.UUID]bool{}
	for _, c := range b.calls {
		if c.ID != "" {
			wanted[c.firstID()] = true
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	return func(rec es.Recorded) {
		if wanted[rec.ID] {
			b.landed[rec.ID] = rec
		}
	}
}

// overtaken reads what others have written, after a conflict.
func (b *batch[A, E]) overtaken(ctx context.Context, err error) error {
	b.stale, b.fresh = !b.fresh, true
	replayErr := b.repo.replay(ctx, b.line.root, b.watch())
	switch {
	case errors.Is(replayErr, errOtherHistory): // the log does not hold what was read
		return b.reload(err)
	case replayErr != nil:
		b.line.use(nil)
		b.fail(replayErr)
		return nil
	}
	b.line.use(b.line.root)
	return err
}

// reload drops what is known of the stream, so that the next attempt begins with a load.
func (b *batch[A, E]) reload(err error) error {
	b.line.use(nil)
	clear(b.landed)
	for _, c := range b.calls {
		c.resolved = false
	}
	if err == nil {
		err = fmt.Errorf("%w on %s: the commands land from elsewhere, again and again", es.ErrBusy, b.line.stream)
	}
	return err
}

// fail gives all calls that have no outcome this one.
func (b *batch[A, E]) fail(err error) {
	for _, c := range b.calls {
		c.fail(err)
	}
	b.calls = nil
}

// answer gives the calls of a round from the n-th on an error, which is the outcome of those
// that write, and of those that decided on what these write.
func (b *batch[A, E]) answer(r *round[A, E], n int, err error) {
	b.forget(r.calls[:n])
	for _, c := range r.calls[n:] {
		delete(b.landed, c.firstID())
		c.fail(err)
	}
	b.calls = slices.Concat(b.calls[:n], b.calls[len(r.calls):])
}

// settle makes what a round has written the state of the line, and leaves the calls that
// were not in it.
func (b *batch[A, E]) settle(ctx context.Context, r *round[A, E]) {
	b.calls = b.calls[len(r.calls):]
	for _, c := range r.calls {
		if c.root != nil {
			c.done()
		}
	}
	before, handOver := b.line.root.version, len(r.calls) == 1 && len(b.calls) == 0 && !b.keep()
	err := b.line.advance(r, handOver)
	if err != nil { // it is stored, and the fold does not bear it
		for _, c := range r.calls[r.first:] {
			c.fail(err)
		}
	} else if root := b.line.root; root.version > before {
		b.repo.writeSnapshot(ctx, b.repo.takeSnapshot(ctx, root, before, root.version, root.last))
	}
	if err != nil || handOver {
		b.line.use(nil)
	}
	b.fresh = true
}
