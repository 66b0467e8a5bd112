package subscribe

import (
	"context"
	"time"

	"github.com/peatlog/peat/es"
)

const (
	// aheadEvents is how many events are read ahead at least, so that small batches
	// do not cost a round trip each. All that is read ahead takes no more bytes than
	// one batch may.
	aheadEvents = 8000
	// aheadLimit bounds how long it is read for.
	aheadLimit = 30 * time.Second
)

// ahead reads a feed ahead of its caller: while the caller works on a batch, the
// next ones are read, where the feed says that there are more. It belongs to one
// goroutine.
type ahead struct {
	feed es.Feed
	opts es.FeedOptions

	here es.Checkpoint // behind what was returned last
	rest es.Batch      // what follows there and is read already
	next *reading      // what follows behind that, nil if nothing is being read
}

// reading is a batch that is being read.
type reading struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the fields below are set
	batch  es.Batch
	err    error
}

// read returns the batch behind a checkpoint. What was read ahead is used if it is
// behind exactly this one.
func (a *ahead) read(ctx context.Context, behind es.Checkpoint) (es.Batch, error) {
	if behind != a.here {
		a.end()
		a.rest = es.Batch{}
	}
	if len(a.rest.Events) == 0 && !a.take(ctx) {
		var err error
		if a.rest, err = a.feed.Feed(ctx, behind, a.opts); err != nil {
			return es.Batch{}, err
		}
		a.begin(ctx)
	}
	var batch es.Batch
	batch, a.rest = cut(a.rest, a.opts.MaxEvents)
	a.here = batch.Next
	return batch, nil
}

// take waits for what is read ahead and begins to read on behind it. An error is
// dropped, as the caller reads for himself then; so is a batch without events,
// which says that there were none at that time.
func (a *ahead) take(ctx context.Context) bool {
	r := a.next
	a.next = nil
	if r == nil {
		return false
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		return false
	}
	if r.err != nil || len(r.batch.Events) == 0 {
		return false
	}
	a.rest = r.batch
	a.begin(ctx)
	return true
}

// begin reads what is behind rest, in a goroutine that ends with it. It has the
// values of ctx, but is not cancelled with it: callers who give each poll a context
// of its own would lose a connection every time.
func (a *ahead) begin(ctx context.Context) {
	if !a.rest.More {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), aheadLimit)
	r := &reading{cancel: cancel, done: make(chan struct{})}
	a.next = r
	feed, opts, behind := a.feed, a.opts, a.rest.Next
	opts.MaxEvents = max(opts.MaxEvents, aheadEvents)
	go func() {
		defer close(r.done)
		defer cancel()
		r.batch, r.err = feed.Feed(ctx, behind, opts)
	}()
}

// end breaks off what is being read, and waits for it.
func (a *ahead) end() {
	if a.next != nil {
		a.next.cancel()
		<-a.next.done
		a.next = nil
	}
}

// cut divides a batch behind its first n events.
func cut(b es.Batch, n int) (first, rest es.Batch) {
	if len(b.Events) <= n {
		return b, es.Batch{}
	}
	prefix := b.Prefix
	first = es.Batch{Events: b.Events[:n:n], Next: prefix(n), More: true, Moved: true, Prefix: prefix}
	rest = es.Batch{
		Events: b.Events[n:], Next: b.Next, More: b.More, Moved: true,
		Prefix: func(i int) es.Checkpoint { return prefix(n + i) },
	}
	return first, rest
}
