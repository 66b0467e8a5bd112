package aggregate

import (
	"context"

	"github.com/peatlog/peat/es"
)

// TxRepository is a repository inside a transaction of its store. What it saves
// becomes visible when the transaction commits, together with everything else
// in it. Like the transaction, it is to be used by one goroutine at a time.
type TxRepository[A Aggregate[E], E es.Event] struct {
	Repository[A, E]
}

// In returns the repository inside tx. A root saved there keeps its pending
// events until the commit is known, so that after a rollback it can be saved
// again. A transaction that the store merely joined tells nobody of its commit:
// such a root is to be dropped after it, and saving it again only finds that its
// events are there.
func (r *Repository[A, E]) In(tx es.Tx) *TxRepository[A, E] {
	c := *r
	c.store, c.tx = tx, tx
	return &TxRepository[A, E]{c}
}

// LoadForUpdate locks the aggregate's stream against every other writer until
// the transaction ends, also a stream that has no events yet, and then loads as
// LoadOrNew does. To lock several aggregates, take them in the order of their
// printed stream ids.
func (r *TxRepository[A, E]) LoadForUpdate(ctx context.Context, key string) (*Root[A, E], error) {
	stream, err := es.NewStreamID(r.def.category, key)
	if err != nil {
		return nil, err
	}
	if _, err := r.tx.LockStream(ctx, stream); err != nil {
		return nil, err
	}
	return r.LoadOrNew(ctx, key)
}
