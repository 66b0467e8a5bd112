package subscribe

import (
	"context"
	"sync"
	"time"

	"github.com/peatlog/peat/es"
)

const (
	// aheadEvents is how many events are read at a time at least, so that small
	// batches do not cost a round trip each.
	aheadEvents = 8000
	// aheadReads is how many reads may be ahead of the caller: with one, the server
	// would wait whenever the caller is slower for a while, as it must be at times.
	// Each takes no more bytes than one batch may.
	aheadReads = 2
	// aheadLimit bounds how long one of them may take.
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
	next *readings     // what follows behind that, nil if nothing is being read
}

// readings is what is read behind a batch, one after another.
type readings struct {
	feed   es.Feed
	opts   es.FeedOptions
	ctx    context.Context
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu     sync.Mutex
	ahead  []*reading // those that the caller has not come for, in their order
	paused bool       // nothing is being read
}

// reading is a batch that is being read.
type reading struct {
	behind es.Checkpoint
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
	if len(a.rest.Events) == 0 {
		if taken, err := a.take(ctx); err != nil {
			return es.Batch{}, err
		} else if !taken {
			if a.rest, err = a.feed.Feed(ctx, behind, a.opts); err != nil {
				return es.Batch{}, err
			}
			a.begin(ctx)
		}
	}
	var batch es.Batch
	batch, a.rest = cut(a.rest, a.opts.MaxEvents)
	a.here = batch.Next
	return batch, nil
}

// take waits for what is read ahead, and reports whether there was anything. An error of
// the feed is dropped, as the caller reads for himself then; so is a batch without
// events, which says that there were none at that time. When ctx ends, what is being read
// is left as it is, for the next call or for end.
func (a *ahead) take(ctx context.Context) (bool, error) {
	if a.next == nil {
		return false, nil
	}
	r := a.next.first()
	select {
	case <-r.done:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	a.next.taken()
	found := r.err == nil && len(r.batch.Events) > 0
	if found {
		a.rest = r.batch
	}
	if !found || !a.rest.More {
		a.end()
	}
	return found, nil
}

// begin reads what is behind rest, in a goroutine that ends when enough is ahead, or
// with end, which must be called. It has the values of ctx, but is not cancelled with
// it: callers who give each poll a context of its own would lose a connection every time.
func (a *ahead) begin(ctx context.Context) {
	if !a.rest.More {
		return
	}
	n := &readings{feed: a.feed, opts: a.opts}
	n.opts.MaxEvents = max(n.opts.MaxEvents, aheadEvents)
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	n.begin(a.rest.Next)
	a.next = n
}

// end breaks off what is being read, and waits for it. Nothing is being read after it
// until the next read.
func (a *ahead) end() {
	if a.next != nil {
		a.next.cancel()
		a.next.ended.Wait()
		a.next = nil
	}
}

// begin reads what is behind a checkpoint, and on from there. The caller holds mu, or
// is the only one to know n.
func (n *readings) begin(behind es.Checkpoint) {
	r := n.add(behind)
	n.paused = false
	n.ended.Go(func() {
		for ; r != nil; r = n.finish(r) {
			ctx, cancel := context.WithTimeout(n.ctx, aheadLimit)
			r.batch, r.err = n.feed.Feed(ctx, r.behind, n.opts)
			cancel()
		}
	})
}

func (n *readings) add(behind es.Checkpoint) *reading {
	r := &reading{behind: behind, done: make(chan struct{})}
	n.ahead = append(n.ahead, r)
	return r
}

// finish ends a reading and returns what is to be read next, nil if nothing is.
func (n *readings) finish(r *reading) *reading {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer close(r.done)
	if len(n.ahead) < aheadReads && r.goesOn() {
		return n.add(r.batch.Next)
	}
	n.paused = true
	return nil
}

// goesOn reports whether there is more to read behind a reading that is done.
func (r *reading) goesOn() bool { return r.err == nil && len(r.batch.Events) > 0 && r.batch.More }

// first returns the first of what is ahead, done or not. There is one as long as those
// before went on.
func (n *readings) first() *reading {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ahead[0]
}

// taken removes the first, which is done, and lets the reading go on if it had paused
// for that one.
func (n *readings) taken() {
	n.mu.Lock()
	defer n.mu.Unlock()
	last := n.ahead[len(n.ahead)-1]
	n.ahead = n.ahead[1:]
	if n.paused && last.goesOn() {
		n.begin(last.batch.Next)
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
