package subscribe

import (
	"context"
	"time"

	"github.com/peatlog/peat/es"
)

// aheadLimit bounds how long a batch is read ahead for.
const aheadLimit = 30 * time.Second

// ahead reads a feed one batch ahead: while the caller works on a batch, the next
// one is read, where it is sure that there is one. It belongs to one goroutine.
type ahead struct {
	feed es.Feed
	opts es.FeedOptions
	next *reading // nil if nothing is read ahead
}

// reading is a batch that is being read.
type reading struct {
	behind es.Checkpoint
	done   chan struct{} // closed when the fields below are set
	batch  es.Batch
	err    error
}

// read returns the batch behind a checkpoint, and begins to read the next one.
func (a *ahead) read(ctx context.Context, behind es.Checkpoint) (es.Batch, error) {
	batch, ok := a.take(ctx, behind)
	if !ok {
		var err error
		if batch, err = a.feed.Feed(ctx, behind, a.opts); err != nil {
			return es.Batch{}, err
		}
	}
	if batch.More {
		a.begin(ctx, batch.Next)
	}
	return batch, nil
}

// take waits for what is read ahead, if it is behind exactly this checkpoint. An
// error is dropped, as the caller reads for itself then; so is a batch without
// events, which says that there were none at that time.
func (a *ahead) take(ctx context.Context, behind es.Checkpoint) (es.Batch, bool) {
	r := a.next
	a.next = nil
	if r == nil || r.behind != behind {
		return es.Batch{}, false
	}
	select {
	case <-r.done:
		return r.batch, r.err == nil && len(r.batch.Events) > 0
	case <-ctx.Done():
		return es.Batch{}, false
	}
}

// begin reads one batch in a goroutine that ends with it. It has the values of ctx,
// but is not cancelled with it: callers who give each poll a context of its own
// would lose a connection every time.
func (a *ahead) begin(ctx context.Context, behind es.Checkpoint) {
	r := &reading{behind: behind, done: make(chan struct{})}
	a.next = r
	feed, opts := a.feed, a.opts
	go func() {
		defer close(r.done)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), aheadLimit)
		defer cancel()
		r.batch, r.err = feed.Feed(ctx, behind, opts)
	}()
}
