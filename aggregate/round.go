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
	// root is where the line's root will be, with the events of all calls pending.
	root    *Root[A, E]
	n       int // of the batch's calls, from the front
	first   int // of them that writes; n if none does
	writers int
	drawn   bool // some of the ids are not those of commands
	ids     []uuid.UUID
	bytes   int
}

// decide runs as many decisions as go into one append.
func (b *batch[A, E]) decide() *round[A, E] {
	r := b.newRound()
	for _, c := range b.calls {
		if !r.add(c) {
			// A fold has panicked half way: once more, without its events.
			b.calls = slices.DeleteFunc(b.calls, func(other *call[A, E]) bool { return other == c })
			return nil
		}
		r.n++
		if r.writers >= b.most || r.bytes >= combinedBytes {
			break
		}
	}
	if r.writers == 0 {
		r.first = r.n
	}
	return r
}

func (b *batch[A, E]) newRound() *round[A, E] {
	now := b.line.root
	return &round[A, E]{batch: b, root: &Root[A, E]{
		stream: now.stream, state: b.repo.def.clone(now.state), version: now.version, position: now.position,
	}}
}

// reached is the version that the events so far will lead to.
func (r *round[A, E]) reached() int64 { return r.root.version + int64(len(r.root.pending)) }

// add runs the decision of one call. It returns false when the round's state is
// damaged.
func (r *round[A, E]) add(c *call[A, E]) bool {
	c.root, c.err = nil, nil
	if !c.claim() {
		return true
	}
	if c.err = c.ctx.Err(); c.err != nil {
		return true
	}
	def := r.batch.repo.def
	own := &Root[A, E]{stream: r.root.stream, state: def.clone(r.root.state), version: r.reached(), position: r.root.position}
	landed, err := r.landed(c)
	if err != nil || landed {
		if c.err = err; err == nil {
			own.result = es.AppendResult{Version: own.version, Duplicate: true} // settle adds the position
			c.root = own
		}
		return true
	}
	if !c.run(own, def.events) || len(own.pending) == 0 {
		return true
	}
	if !c.applyTo(r.root.state, own, def.events) {
		return false
	}
	r.take(c, own)
	return true
}

// landed reports whether the command of the call is stored, or about to be.
func (r *round[A, E]) landed(c *call[A, E]) (bool, error) {
	landed, err := r.batch.line.past.holds(c.command)
	if err != nil || landed || c.id == "" {
		return landed, err
	}
	first, err := c.eventID(0)
	return slices.Contains(r.ids, first), err
}

// take moves what the call has recorded into the append.
func (r *round[A, E]) take(c *call[A, E], own *Root[A, E]) {
	if r.writers++; r.writers == 1 {
		r.first = r.n
	}
	r.drawn = r.drawn || c.id == ""
	for _, e := range own.encoded {
		r.ids = append(r.ids, e.ID)
		r.bytes += len(e.Data)
	}
	r.root.pending = append(r.root.pending, own.pending...)
	r.root.encoded = append(r.root.encoded, own.encoded...)
	own.pending, own.encoded = nil, nil
	own.version = r.reached()
	own.result = es.AppendResult{Version: own.version} // settle adds the position
}

// commit appends the events of the round. Where there are none it makes sure that the
// decisions were made on the present state.
func (r *round[A, E]) commit(ctx context.Context) error {
	if len(r.root.pending) > 0 {
		return r.batch.repo.saveForSure(ctx, r.root)
	}
	if r.batch.fresh {
		return nil
	}
	_, err := r.batch.repo.store.Append(ctx, r.root.stream, es.Exact(r.root.version))
	return err
}

// foreign reports whether the events of the round were found in the stream, and
// somebody else may have put them there.
func (r *round[A, E]) foreign() bool { return r.root.result.Duplicate && !r.drawn }
