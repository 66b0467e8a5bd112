// Package groupcommit lets concurrent callers share one commit.
//
// # Model
//
// Callers put their requests into a [Queue]. Whoever finds a free flusher becomes
// the leader of a batch: it takes what is ready by then, writes all of it at once
// and hands every other caller its outcome. So nobody waits for company, the
// batches grow by themselves while a flush is under way, and there is no
// goroutine that has to be started or stopped.
//
// Requests of one key, such as appends to one stream, are written one after
// another in the order they came: a request is ready when no earlier one of its
// key is waiting or being written.
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

// ErrAlone is what a flush returns that has written nothing and cannot tell
// whose fault it is: each request of the batch is then written by
// [Options.Alone].
var ErrAlone = errors.New("nothing of the batch was written")

// ErrInFlight is the outcome of a request whose caller did not want to wait for
// it any more while it was being written; see [Options.Abandon].
var ErrInFlight = errors.New("given up while it was being written")

// Take removes the next batch from the queue, oldest first, and returns it with
// the context to write it by. What is taken is no longer withdrawn when its
// caller's context ends.
type Take[T any] func() (context.Context, []T)

// Flush writes one batch. It first gets hold of what it needs to write, minding
// ctx, which is that of one of the callers; then it takes the batch, and from
// then on minds the context that came with it, because the batch belongs to
// many callers. It returns one result per request taken. With several flushers a
// batch can be empty.
//
// An error is the answer to all that was taken, or, if nothing was, to that one
// caller.
type Flush[T, R any] func(ctx context.Context, take Take[T]) ([]R, error)

// Options configures [New]. The zero value works.
type Options[T, R any] struct {
	// Flushers is how many flushes may be under way at once; 0 means 1.
	Flushers int
	// MaxBatch bounds the requests of one batch; 0 means 256.
	MaxBatch int
	// MaxWaiting bounds the requests that wait to be taken; 0 means 4096. Further
	// callers wait for room, in the order they came.
	MaxWaiting int
	// MaxSize bounds the sum of Size over a batch of several requests; 0 means no
	// bound. A nil Size counts nothing.
	MaxSize int
	Size    func(T) int
	// Key returns what keeps two requests out of one batch, and in their order.
	// With a nil Key no two requests have anything to do with each other.
	Key func(T) string
	// Alone writes one request by itself, on its caller's goroutine, after its
	// batch failed with [ErrAlone]. Its key is not free before that.
	Alone func(context.Context, T) (R, error)
	// Abandon lets a caller whose context ends while its request is being written
	// return at once, with [ErrInFlight]. The context of a batch ends when all of
	// its callers have gone. Otherwise a caller waits for the outcome.
	//
	// A request that is the only one is written on its caller's goroutine: then it is
	// for the flush to return, with an error of its own, when the context ends.
	Abandon bool
}

// Queue collects requests of type T and answers each with an R.
type Queue[T, R any] struct {
	flush Flush[T, R]
	opts  Options[T, R]

	mu      sync.Mutex
	free    int           // flushers
	waiting int           // in ready and in behind
	ready   []*call[T, R] // at most one of each key
	// behind has an entry for each key that is ready or being written, with what
	// waits behind it.
	behind map[string][]*call[T, R]
	// outside is who waits for room.
	outside []*call[T, R]
}

// New returns a queue that writes its batches with flush.
func New[T, R any](flush Flush[T, R], opts Options[T, R]) *Queue[T, R] {
	opts.Flushers = max(opts.Flushers, 1)
	opts.MaxBatch = cmp.Or(max(opts.MaxBatch, 0), 256)
	opts.MaxWaiting = cmp.Or(max(opts.MaxWaiting, 0), 4096)
	return &Queue[T, R]{
		flush: flush, opts: opts, free: opts.Flushers,
		behind: map[string][]*call[T, R]{},
	}
}

// Do has the request written in some batch and returns its result. If ctx ends
// before the request is taken into a batch, the request is withdrawn and Do
// returns ctx's error at once; what happens after that, [Options.Abandon] says.
func (q *Queue[T, R]) Do(ctx context.Context, request T) (none R, _ error) {
	c := &call[T, R]{request: request, events: make(chan event, 2)}
	if q.opts.Key != nil {
		c.key = q.opts.Key(request)
	}
	if err := ctx.Err(); err != nil { // else the cases below would draw lots
		return none, err
	}
	q.join(c)
	for gone := ctx.Done(); ; {
		select {
		case e := <-c.events:
			if e == answered {
				return q.answer(ctx, c)
			}
			q.lead(ctx, c)
		case <-gone:
			switch q.leave(c) {
			case withdrawn:
				return none, ctx.Err()
			case abandoned:
				return none, fmt.Errorf("%w: %w", ErrInFlight, ctx.Err())
			default: // the answer is there, or is waited for
				gone = nil
			}
		}
	}
}

// Waiting returns how many requests wait to be taken, inside the queue and before it.
func (q *Queue[T, R]) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting + len(q.outside)
}

// answer returns what the call got, or writes its request alone.
func (q *Queue[T, R]) answer(ctx context.Context, c *call[T, R]) (R, error) {
	if !q.alone(c) {
		return c.result, c.err
	}
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.release(c.key)
		q.appoint()
	}()
	return q.opts.Alone(ctx, c.request)
}

// alone reports whether the call's request is to be written by its caller.
func (q *Queue[T, R]) alone(c *call[T, R]) bool {
	return q.opts.Alone != nil && errors.Is(c.err, ErrAlone)
}

// join puts the call behind all others.
func (q *Queue[T, R]) join(c *call[T, R]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.outside = append(q.outside, c)
	q.admit()
	q.appoint()
}

// admit lets in whom there is room for. The caller holds mu.
func (q *Queue[T, R]) admit() {
	n := min(len(q.outside), q.opts.MaxWaiting-q.waiting)
	for _, c := range q.outside[:n] {
		q.enter(c)
	}
	q.waiting += n
	q.outside = slices.Delete(q.outside, 0, n)
}

func (q *Queue[T, R]) enter(c *call[T, R]) {
	if q.opts.Key != nil {
		behind, busy := q.behind[c.key]
		if busy {
			q.behind[c.key] = append(behind, c)
			return
		}
		q.behind[c.key] = nil
	}
	q.ready = append(q.ready, c)
}

// release makes the next request of the key ready. The caller holds mu.
func (q *Queue[T, R]) release(key string) {
	if q.opts.Key == nil {
		return
	}
	behind := q.behind[key]
	if len(behind) == 0 {
		delete(q.behind, key)
		return
	}
	q.ready = append(q.ready, behind[0])
	behind[0] = nil
	q.behind[key] = behind[1:]
}

// appoint lets one of those who are ready lead a batch, if a flusher is free. The
// caller holds mu.
func (q *Queue[T, R]) appoint() {
	if q.free == 0 {
		return
	}
	for _, c := range q.ready {
		if !c.leads {
			c.leads = true
			q.free--
			c.events <- appointed
			return
		}
	}
}

// leave takes the caller out of what it waits for, as far as that is possible, and
// returns the state that the call is in then.
func (q *Queue[T, R]) leave(c *call[T, R]) state {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case c.state == waiting:
		q.withdraw(c)
	case c.state == taken && q.opts.Abandon:
		c.state = abandoned
		c.batch.lose()
	default:
		return c.state
	}
	q.resign(c)
	return c.state
}

// withdraw removes a call that waits. The caller holds mu.
func (q *Queue[T, R]) withdraw(c *call[T, R]) {
	c.state = withdrawn
	if slices.Contains(q.outside, c) {
		q.outside = remove(q.outside, c)
		return
	}
	if slices.Contains(q.ready, c) {
		q.ready = remove(q.ready, c)
		q.release(c.key)
	} else {
		q.behind[c.key] = remove(q.behind[c.key], c)
	}
	q.waiting--
	q.admit()
}

// resign has somebody else lead in the place of a call that was appointed and has
// not begun. The caller holds mu.
func (q *Queue[T, R]) resign(c *call[T, R]) {
	if c.leads && !c.leading {
		c.leads = false
		q.free++
	}
	q.appoint()
}
