package aggregate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

// Store is what a repository needs of a store.
type Store interface {
	es.Appender
	es.StreamReader
	es.EventFinder
	es.Snapshotter
}

// Repository loads and saves the aggregates of one definition. It is immutable
// and safe for concurrent use.
type Repository[A Aggregate[E], E es.Event] struct {
	base  Store
	store Store // base, or tx inside a transaction
	tx    es.Tx // nil outside a transaction
	def   *Definition[A, E]
	retry Retry
	log   *slog.Logger
	// warned is set when it was said that snapshots are not what they are made of.
	warned *atomic.Bool
	lines  *lines[A, E]
}

// NewRepository returns the repository of def's aggregates in store.
func NewRepository[A Aggregate[E], E es.Event](store Store, def *Definition[A, E]) *Repository[A, E] {
	return &Repository[A, E]{
		base: store, store: store, def: def,
		retry: Retry{}.withDefaults(), log: slog.New(slog.DiscardHandler), warned: new(atomic.Bool), lines: newLines[A, E](0),
	}
}

// WithStateCache returns a repository whose Execute keeps the states of up to so many
// streams that were used last, beside those in use, so that it need not load them
// again; 0 keeps none. Nobody has to be told of a write: a state is checked by the version
// and the id of the event that it was read up to, when its events are appended, or, where
// there is nothing to append, by asking for them. When the stream has grown, only the new
// events are read. When the log does not hold what was read any more, as after a failover
// that has lost commits, the state is dropped.
func (r *Repository[A, E]) WithStateCache(streams int) *Repository[A, E] {
	c := *r
	c.lines = newLines[A, E](max(streams, 0))
	return &c
}

// WithRetry returns a repository whose Execute retries as retry says.
func (r *Repository[A, E]) WithRetry(retry Retry) *Repository[A, E] {
	c := *r
	c.retry = retry.withDefaults()
	c.lines = newLines[A, E](r.lines.capacity)
	return &c
}

// WithLogger returns a repository that warns l of snapshots that could not be
// written or used. Nil discards.
func (r *Repository[A, E]) WithLogger(l *slog.Logger) *Repository[A, E] {
	c := *r
	if c.log = l; l == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.lines = newLines[A, E](r.lines.capacity)
	return &c
}

// Load returns the aggregate with all its events applied. An aggregate without
// events gives es.ErrStreamNotFound.
func (r *Repository[A, E]) Load(ctx context.Context, key string) (*Root[A, E], error) {
	root, err := r.LoadOrNew(ctx, key)
	if err != nil {
		return nil, err
	}
	if root.version == 0 {
		return nil, fmt.Errorf("%w: %s", es.ErrStreamNotFound, root.stream)
	}
	return root, nil
}

// LoadOrNew returns the aggregate with all its events applied, and a new one,
// at version 0, where there are none.
func (r *Repository[A, E]) LoadOrNew(ctx context.Context, key string) (*Root[A, E], error) {
	stream, err := es.NewStreamID(r.def.category, key)
	if err != nil {
		return nil, err
	}
	return r.load(ctx, stream)
}

func (r *Repository[A, E]) load(ctx context.Context, stream es.StreamID) (*Root[A, E], error) {
	root, _, err := r.loadWatching(ctx, stream, nil)
	return root, err
}

// loadWatching is load. It shows watch, which may be nil, the events that it reads, and
// reports whether those were all events of the stream.
func (r *Repository[A, E]) loadWatching(ctx context.Context, stream es.StreamID, watch func(es.Recorded)) (_ *Root[A, E], all bool, _ error) {
	if r.def.snapshots.enabled() {
		if root, err := r.loadSnapshot(ctx, stream); root != nil || err != nil {
			return root, false, err
		}
	}
	root := r.def.newRoot(stream)
	if err := r.replay(ctx, root, watch); err != nil {
		return nil, false, err
	}
	return root, true, nil
}

// replay folds the events after the root's version into it. The event of that version is
// read as well: if it is not the one that the root was read up to, or is not there, the
// error is errOtherHistory.
func (r *Repository[A, E]) replay(ctx context.Context, root *Root[A, E], watch func(es.Recorded)) error {
	proven := root.version == 0
	for rec, err := range r.store.ReadStream(ctx, root.stream, es.ReadOptions{From: max(root.version, 1)}) {
		if err != nil {
			return err
		}
		if !proven {
			if proven = rec.Version == root.version && rec.ID == root.last; !proven {
				break
			}
			root.loaded(rec)
			continue
		}
		env, err := es.Decode(r.def.events, rec)
		if err != nil {
			return err
		}
		if watch != nil {
			watch(rec)
		}
		if err := r.def.apply(root.state, env.Event, rec.Stream, rec.Version, rec.Type); err != nil {
			return err
		}
		root.loaded(rec)
	}
	if !proven {
		return fmt.Errorf("%w: %s version %d is not what was read", errOtherHistory, root.stream, root.version)
	}
	return nil
}

// Save appends the pending events of root, expecting that nobody has written to
// the stream since it was loaded. Without pending events it does nothing.
//
// When it fails, the root keeps its pending events under the same ids, so after
// es.ErrOutcomeUnknown the same Save can be repeated until it answers: until then, every
// error is es.ErrOutcomeUnknown. After es.ErrConflict the state is stale: load again and
// decide again.
//
// In a context with a command id ([es.WithCommandID]), a command that has landed before
// is recognised: nothing is written, the root becomes what is stored now, without
// pending events, and LastAppend says Duplicate. Where the root also has events of another
// save that are not known to be committed, it keeps all, and the error is es.ErrConflict.
func (r *Repository[A, E]) Save(ctx context.Context, root *Root[A, E]) error {
	if root.fault != nil {
		return root.fault
	}
	done := root.written(r.tx)
	if len(root.pending) == done {
		return nil
	}
	o := orderFrom(ctx, root.stream, r.tx)
	if err := o.repeated(); err != nil {
		return err
	}
	if o.ID != "" && !root.holds(o) { // not a repeated Save
		if landed, err := r.landed(ctx, o); err != nil || landed {
			return r.saved(ctx, root, o, err)
		}
	}
	if err := root.identify(o, o.metadata(ctx)); err != nil {
		return err
	}
	err := r.append(ctx, root)
	if o.ID != "" && errors.Is(err, es.ErrDuplicateID) && r.tx == nil {
		if landed, findErr := r.landed(ctx, o); findErr != nil || landed { // meanwhile
			return r.saved(ctx, root, o, findErr)
		}
	}
	if err == nil {
		o.done()
	}
	return err
}

// saved makes root what is stored, for a command that had landed before.
func (r *Repository[A, E]) saved(ctx context.Context, root *Root[A, E], o order, err error) error {
	if err != nil {
		return err
	}
	if len(root.encoded) > 0 && root.encoded[0].ID != uuid.Nil && root.encoded[0].ID != o.firstID() {
		return fmt.Errorf("the command %q has landed on %s before, and the root has events of an earlier save that are not known to be committed: %w; load it again",
			o.ID, o.stream, es.ErrConflict)
	}
	now, err := r.load(ctx, root.stream)
	if err != nil {
		return err
	}
	*root = *now
	root.result = es.AppendResult{Version: root.version, Position: root.position, Duplicate: true}
	o.done()
	return nil
}

// append appends the pending events of root, which have ids.
func (r *Repository[A, E]) append(ctx context.Context, root *Root[A, E]) error {
	done, n := root.written(r.tx), len(root.pending)
	result, err := r.store.Append(ctx, root.stream, root.expected(done), root.encoded[done:]...)
	if err = root.outcome(err); err != nil {
		return err
	}
	root.result = result
	before, last := root.version, root.encoded[n-1].ID
	if r.tx == nil {
		root.committed(n)
		r.writeSnapshot(ctx, r.takeSnapshot(ctx, root, before, result.Version, last))
		return nil
	}
	snapshot := r.takeSnapshot(ctx, root, before, result.Version, last)
	root.joined = inTx{tx: r.tx, n: n}
	r.tx.AfterCommit(func() {
		if root.written(r.tx) == n { // the last save of the transaction speaks for all
			root.committed(n)
		}
		r.writeSnapshot(context.WithoutCancel(ctx), snapshot)
	})
	return nil
}
