package groupcommit

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
)

// state is where a call is.
type state int

const (
	waiting   state = iota // in the queue
	taken                  // in a batch
	withdrawn              // out of the queue again
	abandoned              // in a batch, and its caller has gone
	done                   // the outcome is there
)

// event is what a call is told.
type event int

const (
	appointed event = iota // to lead a batch
	answered               // the result or the error is there
)

// call is one request on its way.
type call[T, R any] struct {
	request T
	key     string
	events  chan event // has room for one of each

	// The following are guarded by Queue.mu.
	state   state
	batch   *batch[T, R] // that took it
	leads   bool         // was appointed
	leading bool         // and has begun

	// The following are set before the call is told that it is answered.
	result R
	err    error
}

// batch is one flush.
type batch[T, R any] struct {
	queue  *Queue[T, R]
	leader *call[T, R]
	own    bool // it is the leader's alone, on its goroutine
	calls  []*call[T, R]
	left   int                // of the calls, those whose callers are there; guarded by Queue.mu
	cancel context.CancelFunc // ends the context of the flush; nil before the batch was taken
}

// lose takes note that a caller has gone. The caller holds Queue.mu.
func (b *batch[T, R]) lose() {
	if b.left--; b.left == 0 {
		b.cancel()
	}
}

// lead flushes one batch for a call that was appointed.
func (q *Queue[T, R]) lead(ctx context.Context, leader *call[T, R]) {
	// Whom the batch before has answered may be about to come back: they run first.
	runtime.Gosched()
	q.mu.Lock()
	begins, own := leader.state == waiting, q.opts.Abandon && q.waiting == 1
	if leader.leading = begins; !begins {
		q.resign(leader) // another flusher was faster
	}
	q.mu.Unlock()
	if !begins {
		return
	}
	b := &batch[T, R]{queue: q, leader: leader, own: own}
	if q.opts.Abandon && !own {
		go b.run(ctx)
	} else {
		b.run(ctx) // a goroutine that is warm: a new one has a stack that grows all over again
	}
}

func (b *batch[T, R]) run(ctx context.Context) {
	var results []R
	err := ErrUnanswered // where flush ends the goroutine
	defer func() { b.answer(results, err) }()
	results, err = b.flush(ctx)
	if err == nil && len(results) != len(b.calls) {
		err = fmt.Errorf("%w: %d results for %d requests", ErrUnanswered, len(results), len(b.calls))
	}
}

func (b *batch[T, R]) flush(ctx context.Context) (_ []R, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v\n%s", ErrUnanswered, p, debug.Stack())
		}
	}()
	return b.queue.flush(ctx, func() (context.Context, []T) { return b.take(ctx) })
}

// take moves what is ready into the batch.
func (b *batch[T, R]) take(ctx context.Context) (context.Context, []T) {
	if !b.own {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, b.cancel = context.WithCancel(ctx)
	q := b.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	b.calls = q.next(b)
	n := len(b.calls)
	b.left = n
	requests := make([]T, n)
	for i, c := range b.calls {
		c.state, c.batch = taken, b
		requests[i] = c.request
	}
	q.waiting -= n
	q.admit()
	return ctx, requests
}

// next removes from those that are ready whom the batch is of. The caller holds mu.
func (q *Queue[T, R]) next(b *batch[T, R]) []*call[T, R] {
	if b.own {
		if b.leader.state != waiting {
			return nil // another flusher has taken it
		}
		q.ready = remove(q.ready, b.leader)
		return []*call[T, R]{b.leader}
	}
	n := q.fitting()
	calls := slices.Clone(q.ready[:n])
	q.ready = slices.Delete(q.ready, 0, n)
	return calls
}

// fitting returns how many of those that are ready go into one batch: at least one
// of them. The caller holds mu.
func (q *Queue[T, R]) fitting() int {
	most := min(len(q.ready), q.opts.MaxBatch)
	if q.opts.Size == nil || q.opts.MaxSize <= 0 {
		return most
	}
	size := 0
	for n, c := range q.ready[:most] {
		if size += q.opts.Size(c.request); size > q.opts.MaxSize && n > 0 {
			return n
		}
	}
	return most
}

// answer hands the outcomes out and lets the next batch begin.
func (b *batch[T, R]) answer(results []R, err error) {
	q := b.queue
	q.mu.Lock()
	if b.cancel != nil {
		b.cancel()
	} else if err != nil && b.leader.state == waiting {
		// The leader could not begin: that is its answer, and now others lead.
		q.ready = remove(q.ready, b.leader)
		q.waiting--
		q.admit()
		b.calls = append(b.calls, b.leader)
	}
	for i, c := range b.calls {
		if c.err = err; err == nil {
			c.result = results[i]
		}
		if c.state == abandoned || !q.alone(c) {
			q.release(c.key)
		}
		c.state = done
	}
	b.leader.leads, b.leader.leading = false, false
	q.free++
	q.appoint()
	q.mu.Unlock()
	for _, c := range b.calls {
		c.events <- answered
	}
}

// remove removes a call that is there.
func remove[T, R any](calls []*call[T, R], c *call[T, R]) []*call[T, R] {
	i := slices.Index(calls, c)
	return slices.Delete(calls, i, i+1)
}
