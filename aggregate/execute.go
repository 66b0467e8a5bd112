package aggregate

import (
	"context"
	"errors"

	"github.com/peatlog/peat/es"
)

// Execute loads the aggregate (a new one where there are no events), lets
// decide choose events, and saves them. It returns the root after the save.
//
// When another writer was faster it loads what is new and decides again, up to the
// limit of [Retry], then it returns the es.ErrConflict. When a connection is lost
// during the commit it repeats the save until it knows the outcome. decide may
// therefore run several times: it must depend on its argument alone and change
// nothing; what it does to its argument concerns nobody else. Its own error is
// returned as it is, and nothing is written; if it panics, so does this Execute, with a
// [*PanicError] where it ran outside of a transaction.
//
// Concurrent calls on one stream are combined: their decisions run one after
// another, in the order of the calls, on the state in memory, and their events
// land in one append. Each call has the outcome that it would have alone, but for
// the Position of LastAppend, which is that of the last event of the append, so at
// or after that of the call's own. Its decision runs on another goroutine, or on the
// caller's if no other call waits. A call whose context ends before its decision is
// withdrawn. After that it returns with es.ErrOutcomeUnknown: at once, or, on its own
// goroutine, when the decision has ended, unless it is certain that nothing was written.
//
// In a context with a command id (es.WithCommandID), a command that has landed before is
// recognised, however long ago that was: decide is not called, and the root's LastAppend says
// Duplicate. es.ErrCommandReused says that the id stands for another command: one with
// another fingerprint (es.WithCommand), or one that was executed on the same stream in the
// same context.
//
// In a transaction (see [Repository.In]) the stream is locked first, so nobody
// can be faster, and calls are not combined.
func (r *Repository[A, E]) Execute(ctx context.Context, key string, decide func(A) ([]E, error)) (*Root[A, E], error) {
	stream, err := es.NewStreamID(r.def.category, key)
	if err != nil {
		return nil, err
	}
	c := newCall(ctx, stream, r.tx, decide)
	if r.tx == nil {
		return r.lines.execute(r, c)
	}
	if err := c.repeated(); err != nil {
		return nil, err
	}
	if _, err := r.tx.LockStream(ctx, stream); err != nil {
		return nil, err
	}
	return r.executeOnce(c)
}

// executeOnce loads, decides and saves in a transaction.
func (r *Repository[A, E]) executeOnce(c *call[A, E]) (*Root[A, E], error) {
	if c.ID != "" {
		landed, err := r.landed(c.ctx, c.order)
		if err != nil {
			return nil, err
		}
		if landed {
			root := &Root[A, E]{stream: c.stream}
			return root, r.saved(c.ctx, root, c.order, nil)
		}
	}
	root, err := r.load(c.ctx, c.stream)
	if err != nil {
		return nil, err
	}
	state, err := r.def.clone(root.state)
	if err != nil {
		return nil, err
	}
	events, err := c.decide(state)
	if err != nil {
		return nil, err
	}
	if root.Record(events...); root.fault != nil {
		return nil, root.fault
	}
	if len(events) == 0 {
		c.done()
		return root, nil
	}
	if err := r.Save(c.ctx, root); err != nil {
		return nil, err
	}
	return root, nil
}

// appendForSure appends the events of root, and repeats that while the outcome is unknown:
// the ids stay the same, so they land once.
func (r *Repository[A, E]) appendForSure(ctx context.Context, root *Root[A, E]) (es.AppendResult, error) {
	for attempt := 1; ; attempt++ {
		result, err := r.store.Append(ctx, root.stream, root.expected(0), root.encoded...)
		err = root.outcome(err)
		if !errors.Is(err, es.ErrOutcomeUnknown) || attempt >= r.retry.Attempts {
			return result, err
		}
		if ctxErr := r.retry.wait(ctx, attempt); ctxErr != nil {
			return result, errors.Join(ctxErr, err)
		}
	}
}
