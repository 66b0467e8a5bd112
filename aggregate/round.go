package aggregate

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

// round is decisions one after another, and the append of all their events.
type round[A Aggregate[E], E es.Event] struct {
	batch *batch[A, E]
	// calls are those of the batch that have decided, from the front, and first is the
	// first of them that writes; it is the number of calls if none does.
	calls   []*call[A, E]
	first   int
	writers int

	// events and encoded are those of all calls, ends how many there are up to each call.
	events  []E
	encoded []es.EventData
	ends    []int
	drawn   bool // some of the ids are not those of commands
	bytes   int
	// position is that of the last event, when the round is written.
	position int64

	// state has the first applied of the events applied. It is made when a decision
	// follows one that writes.
	state   A
	applied int
	copied  bool
}

// verdict is what became of the append of a round.
type verdict int

const (
	// written: the events are in the log, or there were none and the decisions were made on
	// the present state.
	written verdict = iota
	// landed: commands of the round are in the log, and may have come there from elsewhere.
	landed
	// conflict: the stream is not as it was when the decisions were made.
	conflict
	// refused: nothing is written because of what is in the events of one of the calls.
	refused
	// unproven: there are no events, and nobody knows whether the decisions were made on
	// the present state.
	unproven
	// failed: nothing is written, or nobody knows what is.
	failed
)

// decide runs as many decisions as go into one append. It returns nil when it has to begin
// anew, without a call that has its outcome now.
func (b *batch[A, E]) decide() *round[A, E] {
	r := &round[A, E]{batch: b}
	for i, c := range b.calls {
		c.reset()
		if r.add(c); len(c.events) > 0 {
			if !r.take(c, i == len(b.calls)-1) {
				// A fold has panicked half way.
				b.forget(append(r.calls, c))
				b.remove(c)
				return nil
			}
		}
		r.calls, r.ends = append(r.calls, c), append(r.ends, len(r.events))
		if r.writers >= b.most || r.bytes >= combinedBytes {
			break
		}
	}
	if r.writers == 0 {
		r.first = len(r.calls)
	}
	return r
}

// reached is the version that the events so far will lead to.
func (r *round[A, E]) reached() int64 { return r.batch.line.root.version + int64(len(r.events)) }

// add runs the decision of one call.
func (r *round[A, E]) add(c *call[A, E]) {
	if !c.claim() {
		return
	}
	if err := c.ctx.Err(); err != nil {
		c.fail(err)
		return
	}
	if c.err = r.again(c); c.err != nil {
		return
	}
	def := r.batch.repo.def
	found, is := r.batch.landed[c.firstID()]
	if c.ID != "" && is {
		if c.err = c.same(found); c.err == nil {
			if found.Version > r.reached() { // it landed after the load
				r.batch.fresh = false
			}
			c.root = r.newRoot(c)
			c.root.result = es.AppendResult{Version: c.root.version, Duplicate: true} // settle adds the position
		}
		return
	}
	c.unknown = false // it is not there
	state, err := r.scratch()
	if err != nil {
		c.err = err
		return
	}
	if c.run(def, state, r.reached()); c.err == nil && c.panicked == nil {
		c.root = r.newRoot(c)
	}
}

// again returns an error for the second command of one context.
func (r *round[A, E]) again(c *call[A, E]) error {
	if c.ID == "" {
		return nil
	}
	for _, other := range r.calls {
		if other.root != nil && other.Same(c.Command) {
			return c.reused()
		}
	}
	return c.repeated()
}

func (r *round[A, E]) newRoot(c *call[A, E]) *Root[A, E] {
	return &Root[A, E]{def: r.batch.repo.def, stream: c.stream, version: r.reached()}
}

// scratch returns a state after the events so far for a decision to work on.
func (r *round[A, E]) scratch() (A, error) {
	if r.copied {
		return r.batch.repo.def.clone(r.state)
	}
	return r.batch.repo.def.clone(r.batch.line.root.state)
}

// take moves what a call has recorded into the append. Unless it is the last one, the next
// one decides on the state after it. It returns false when that state is damaged.
func (r *round[A, E]) take(c *call[A, E], last bool) (ok bool) {
	if r.writers++; r.writers == 1 {
		r.first = len(r.calls)
	}
	r.drawn = r.drawn || c.ID == ""
	for _, e := range c.encoded {
		r.bytes += len(e.Data)
	}
	r.events, r.encoded = append(r.events, c.events...), append(r.encoded, c.encoded...)
	c.root.version = r.reached()
	c.root.result = es.AppendResult{Version: c.root.version} // settle adds the position
	if c.ID != "" {
		r.batch.landed[c.firstID()] = es.Recorded{Version: r.reached(), Metadata: c.encoded[0].Metadata}
	}
	if last {
		return true
	}
	if c.err = r.advance(); c.err != nil {
		c.root = nil
		return false
	}
	return true
}

// advance applies the events so far to the round's state.
func (r *round[A, E]) advance() (err error) {
	def, now := r.batch.repo.def, r.batch.line.root
	if !r.copied {
		if r.state, err = def.clone(now.state); err != nil {
			return err
		}
		r.copied = true
	}
	for ; r.applied < len(r.events) && err == nil; r.applied++ {
		i := r.applied
		err = def.apply(r.state, r.events[i], now.stream, now.version+int64(i)+1, r.encoded[i].Type)
	}
	return err
}

// commit appends the events of the round. Where there are none it makes sure that the
// decisions were made on the present state.
func (r *round[A, E]) commit(ctx context.Context) (verdict, error) {
	now, repo := r.batch.line.root, r.batch.repo
	if len(r.events) == 0 {
		var err error
		if !r.batch.fresh {
			_, err = repo.store.Append(ctx, now.stream, now.expected(0))
		}
		if err == nil {
			r.settle(now.position)
		}
		return r.judge(err, unproven), err
	}
	whole := &Root[A, E]{def: repo.def, stream: now.stream, version: now.version, last: now.last, encoded: r.encoded}
	result, err := repo.appendForSure(ctx, whole)
	if err == nil && result.Duplicate && !r.drawn {
		return landed, nil
	}
	if err == nil {
		r.settle(result.Position)
	}
	return r.judge(err, failed), err
}

// judge returns the verdict of an append with this error.
func (r *round[A, E]) judge(err error, otherwise verdict) verdict {
	switch {
	case err == nil:
		return written
	case isConflict(err):
		return conflict
	case isDuplicateID(err) && slices.ContainsFunc(r.calls, func(c *call[A, E]) bool { return c.ID != "" }):
		return landed
	case r.writers > 1 && isRefusal(err):
		return refused
	}
	return otherwise
}

// settle puts into the roots where the events are; the last one is at this position.
func (r *round[A, E]) settle(position int64) {
	r.position = position
	for i, c := range r.calls {
		if c.root == nil {
			continue
		}
		c.root.last, c.root.position = r.lastID(r.ends[i]), position
		if c.root.result.Version > 0 {
			c.root.result.Position = position
		}
	}
}

// lastID is the id of the stream's last event after the first n of the round.
func (r *round[A, E]) lastID(n int) uuid.UUID {
	if n == 0 {
		return r.batch.line.root.last
	}
	return r.encoded[n-1].ID
}
