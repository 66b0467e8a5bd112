package aggregate

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

// Store is what a repository needs of a store.
type Store interface {
	es.Appender
	es.StreamReader
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
	lines *lines[A, E]
}

// NewRepository returns the repository of def's aggregates in store.
func NewRepository[A Aggregate[E], E es.Event](store Store, def *Definition[A, E]) *Repository[A, E] {
	return &Repository[A, E]{
		base: store, store: store, def: def,
		retry: Retry{}.withDefaults(), log: slog.New(slog.DiscardHandler), lines: newLines[A, E](0),
	}
}

// WithStateCache returns a repository whose Execute keeps the states of up to so many
// streams that were used last, beside those in use, so that it need not load them
// again; 0 keeps none. Nobody has to be told of a write: a state is checked by the expected version of
// the append, or, where there is nothing to append, by asking for the version; when it
// is behind, only the events behind it are read. A command with an id makes its stream
// be loaded in full, unless commands with ids are what made it be kept.
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
	return r.load(ctx, stream, nil)
}

func (r *Repository[A, E]) load(ctx context.Context, stream es.StreamID, past history) (*Root[A, E], error) {
	if r.def.snapshots.enabled() {
		if root, err := r.loadSnapshot(ctx, stream, past); root != nil || err != nil {
			return root, err
		}
	}
	root := r.def.newRoot(stream)
	if err := r.replay(ctx, root, past); err != nil {
		return nil, err
	}
	return root, nil
}

// replay folds the events behind the root's version into it.
func (r *Repository[A, E]) replay(ctx context.Context, root *Root[A, E], past history) error {
	for rec, err := range r.store.ReadStream(ctx, root.stream, es.ReadOptions{From: root.version + 1}) {
		if err != nil {
			return err
		}
		env, err := es.Decode(r.def.events, rec)
		if err != nil {
			return err
		}
		past.see(rec.ID)
		root.state.Apply(env.Event)
		root.loaded(rec)
	}
	return nil
}

// Save appends the pending events of root, expecting that nobody has written to
// the stream since it was loaded. Without pending events it does nothing.
//
// When it fails, the root keeps its pending events under the same ids, so after
// es.ErrOutcomeUnknown the same Save can be repeated until it answers. After
// es.ErrConflict the state is stale: load again and decide again.
func (r *Repository[A, E]) Save(ctx context.Context, root *Root[A, E]) error {
	return r.save(ctx, root, func(int) (uuid.UUID, error) { return uuid.NewV7() })
}

func (r *Repository[A, E]) save(ctx context.Context, root *Root[A, E], newID func(int) (uuid.UUID, error)) error {
	if err := root.encode(r.def.events, newID); err != nil {
		return err
	}
	done, n := root.written(r.tx), len(root.pending)
	if n == done {
		return nil
	}
	result, err := r.store.Append(ctx, root.stream, es.Exact(root.version+int64(done)), root.encoded[done:]...)
	if err != nil {
		return err
	}
	root.result = result
	snapshot := r.takeSnapshot(ctx, root, result.Version)
	if r.tx == nil {
		root.committed(n)
		r.writeSnapshot(ctx, snapshot)
		return nil
	}
	root.joined = inTx{tx: r.tx, n: n}
	r.tx.AfterCommit(func() {
		if root.written(r.tx) == n { // the last save of the transaction speaks for all
			root.committed(n)
		}
		r.writeSnapshot(context.WithoutCancel(ctx), snapshot)
	})
	return nil
}
