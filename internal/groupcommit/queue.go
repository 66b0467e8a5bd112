// Package groupcommit lets concurrent callers share one commit.
//
// # Model
//
// Callers put their requests into a [Queue]. Whoever finds a free flusher becomes
// the leader of a batch: it takes what waits by then, writes all of it at once
// and hands every other caller its outcome. So nobody waits for company, the
// batches grow by themselves while a flush is under way, and there is no
// goroutine that has to be started or stopped.
//
// # Concurrency
//
// A Queue is safe for concurrent use.
package groupcommit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// ErrUnanswered is the outcome of a request that a flush took and did not
// answer, because it panicked or returned too few results: a defect of the
// flush, and nobody knows what was written.
var ErrUnanswered = errors.New("the flush of the batch gave no answer")

// Take removes up to the queue's MaxBatch requests from the queue, oldest first,
// and returns them. A request that admit refuses stays where it is; a nil admit
// refuses none. What is taken is no longer withdrawn when its caller's context
// ends.
type Take[T any] func(admit func(T) bool) []T

// Flush writes one batch. It first gets hold of what it needs to write, minding
// ctx, which is that of one of the callers; then takes the batch, and from then
// on must not mind ctx any more, because the batch belongs to many callers. It
// returns one result per request taken. With several flushers a batch can be empty.
//
// An error is the answer to all that was taken, or, if nothing was, to that one
// caller.
type Flush[T, R any] func(ctx context.Context, take Take[T]) ([]R, error)

// Options configures [New]. The zero value works.
type Options struct {
	// Flushers is how many flushes may be under way at once; 0 means 1.
	Flushers int
	// MaxBatch bounds the requests of one batch; 0 means 256.
	MaxBatch int
}

// Queue collects requests of type T and answers each with an R.
type Queue[T, R any] struct {
	flush    Flush[T, R]
	maxBatch int
	// slots holds one element for each flush under way. Senders queue up in the
	// order they came.
	slots chan struct{}

	mu      sync.Mutex
	waiting []*call[T, R]
}

// call is one request on its way.
type call[T, R any] struct {
	request T
	taken   bool          // out of the queue; guarded by Queue.mu
	done    chan struct{} // closed once result or err is set
	result  R
	err     error
}

// New returns a queue that writes its batches with flush.
func New[T, R any](flush Flush[T, R], opts Options) *Queue[T, R] {
	return &Queue[T, R]{
		flush:    flush,
		maxBatch: cmp.Or(max(opts.MaxBatch, 0), 256),
		slots:    make(chan struct{}, max(opts.Flushers, 1)),
	}
}

// Do has the request written in some batch and returns its result. If ctx ends
// before the request is taken into a batch, the request is withdrawn and Do
// returns ctx's error at once; after that Do waits for the outcome, so that the
// outcome is always known.
func (q *Queue[T, R]) Do(ctx context.Context, request T) (R, error) {
	c := &call[T, R]{request: request, done: make(chan struct{})}
	if err := ctx.Err(); err != nil {
		return c.result, err
	}
	q.mu.Lock()
	q.waiting = append(q.waiting, c)
	q.mu.Unlock()
	for !q.isTaken(c) {
		select {
		case <-c.done:
		case q.slots <- struct{}{}:
			if q.isTaken(c) { // by a flush that is still under way
				<-q.slots
			} else {
				q.lead(ctx, c)
			}
		case <-ctx.Done():
			if q.withdraw(c) {
				return c.result, ctx.Err()
			}
		}
	}
	<-c.done
	return c.result, c.err
}

// lead flushes one batch and gives the slot back.
func (q *Queue[T, R]) lead(ctx context.Context, leader *call[T, R]) {
	var batch []*call[T, R]
	var results []R
	err := ErrUnanswered // unless flush returns: it may panic
	defer func() {
		if len(batch) == 0 && err != nil && q.withdraw(leader) {
			batch = append(batch, leader)
		}
		for i, c := range batch {
			if c.err = err; err == nil {
				c.result = results[i]
			}
			close(c.done)
		}
		// Only now: else the slot could fall to somebody who waits no more.
		<-q.slots
	}()
	results, err = q.flush(ctx, func(admit func(T) bool) []T {
		batch = q.take(admit)
		requests := make([]T, len(batch))
		for i, c := range batch {
			requests[i] = c.request
		}
		return requests
	})
	if err == nil && len(results) != len(batch) {
		err = fmt.Errorf("%w: %d results for %d requests", ErrUnanswered, len(results), len(batch))
	}
}

// take removes the next batch from the queue.
func (q *Queue[T, R]) take(admit func(T) bool) []*call[T, R] {
	q.mu.Lock()
	defer q.mu.Unlock()
	var batch, left []*call[T, R]
	for _, c := range q.waiting {
		if c.taken = len(batch) < q.maxBatch && (admit == nil || admit(c.request)); c.taken {
			batch = append(batch, c)
		} else {
			left = append(left, c)
		}
	}
	q.waiting = left
	return batch
}

func (q *Queue[T, R]) isTaken(c *call[T, R]) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return c.taken
}

// withdraw removes c from the queue, unless it was taken already.
func (q *Queue[T, R]) withdraw(c *call[T, R]) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if c.taken {
		return false
	}
	c.taken = true
	i := slices.Index(q.waiting, c)
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return true
}
