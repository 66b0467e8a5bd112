package groupcommit_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/internal/groupcommit"
)

// Who does not want to wait any more goes at once, the leader, too; the others get
// their outcomes, and the flush ends when nobody is left.
func TestCallersMayAbandonABatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ended []error
		q := groupcommit.New(func(_ context.Context, take groupcommit.Take[int]) ([]int, error) {
			ctx, batch := take()
			select {
			case <-time.After(time.Duration(batch[0]) * time.Second):
			case <-ctx.Done():
			}
			ended = append(ended, ctx.Err())
			return batch, ctx.Err()
		}, options{Abandon: true})
		start := time.Now()
		var all sync.WaitGroup
		call := func(n int, patience time.Duration, want error, after time.Duration) {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, err := q.Do(ctx, n)
				if !errors.Is(err, want) || want == nil && err != nil || time.Since(start) != after {
					t.Errorf("request %d: %v after %v, want %v after %v", n, err, time.Since(start), want, after)
				}
				if want != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("request %d: %v hides the context's error", n, err)
				}
			})
			synctest.Wait()
		}
		const forever = time.Hour
		call(1, 500*time.Millisecond, context.DeadlineExceeded, 500*time.Millisecond) // alone, so by the flush, which ends here
		call(3, 1500*time.Millisecond, groupcommit.ErrInFlight, 1500*time.Millisecond)
		call(4, forever, nil, 3500*time.Millisecond)
		time.Sleep(time.Second) // the batch of 3 and 4 is under way
		call(5, 300*time.Millisecond, context.DeadlineExceeded, 1300*time.Millisecond)
		all.Wait()
		if diff := cmp.Diff([]bool{true, false}, []bool{ended[0] != nil, ended[1] != nil}); diff != "" || len(ended) != 2 {
			t.Errorf("flushes that were ended (-want +got):\n%s", diff)
		}
	})
}

// Where nobody knows whose fault it is, each is written alone, and what waits behind
// one of them goes on waiting for that.
func TestBatchThatFailsIsWrittenOneByOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		errBad := errors.New("bad")
		var mu sync.Mutex
		var order []int
		note := func(n ...int) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, n...)
		}
		q := groupcommit.New(func(_ context.Context, take groupcommit.Take[int]) ([]int, error) {
			_, batch := take()
			time.Sleep(time.Second)
			if len(batch) > 1 {
				return nil, groupcommit.ErrAlone
			}
			note(batch...)
			return batch, nil
		}, options{Key: decade, Alone: func(_ context.Context, n int) (int, error) {
			time.Sleep(time.Duration(n) * time.Second)
			note(n)
			if n == 21 {
				return 0, errBad
			}
			return n, nil
		}})
		var all sync.WaitGroup
		for _, n := range []int{1, 11, 21, 31, 12, 22} {
			all.Go(func() {
				result, err := q.Do(t.Context(), n)
				if n == 21 && !errors.Is(err, errBad) || n != 21 && (err != nil || result != n) {
					t.Errorf("request %d: result %d, error %v", n, result, err)
				}
			})
			synctest.Wait()
		}
		all.Wait()
		if diff := cmp.Diff([]int{1, 11, 12, 21, 22, 31}, order); diff != "" {
			t.Errorf("order of writing (-want +got):\n%s", diff)
		}
	})
}

// Nobody writes alone what was abandoned, and what waits behind it goes on.
func TestAbandonedRequestIsNotWrittenAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := groupcommit.New(func(_ context.Context, take groupcommit.Take[int]) ([]int, error) {
			_, batch := take()
			time.Sleep(time.Second)
			if len(batch) > 1 {
				return nil, groupcommit.ErrAlone
			}
			return []int{-batch[0]}, nil
		}, options{Abandon: true, Key: decade, Alone: func(_ context.Context, n int) (int, error) {
			if n == 11 {
				t.Error("request 11 was written alone")
			}
			return -n, nil
		}})
		wait := do(t, q, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		var gone sync.WaitGroup
		gone.Go(func() {
			if _, err := q.Do(ctx, 11); !errors.Is(err, groupcommit.ErrInFlight) {
				t.Errorf("got error %v, want ErrInFlight", err)
			}
		})
		synctest.Wait()
		others := do(t, q, 21, 12)
		wait()
		gone.Wait()
		others()
	})
}

// Who goes away at the moment of being appointed to lead, or of being taken by somebody
// else, leaves the flusher to others.
func TestLeaderThatGoesAwayLeavesTheFlusher(t *testing.T) {
	t.Parallel()
	for _, flushers := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{}
			q := groupcommit.New(r.flush, options{Flushers: flushers, MaxBatch: 1, Abandon: true})
			for range 200 {
				busy := []int{1, 2}[:flushers]
				wait := do(t, q, busy...)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second) // as long as the flush
				var gone sync.WaitGroup
				for range 3 {
					gone.Go(func() { _, _ = q.Do(ctx, 3) })
				}
				wait()
				gone.Wait()
				cancel()
			}
			do(t, q, 4, 5)() // else the bubble finds that nothing goes on
		})
	}
}

// All of it at once, for the race detector and against a queue that stops: what is
// answered was written, once, and never two of one key at the same time. (Their order
// is the matter of the tests in the bubble.)
func TestNothingIsLostUnderCancellations(t *testing.T) {
	t.Parallel()
	const keys, callers, each = 8, 64, 100
	var mu sync.Mutex
	writing := map[int]bool{} // keys
	written := map[int]int{}
	write := func(batch ...int) {
		mu.Lock()
		for _, n := range batch {
			if written[n]++; writing[n%keys] {
				t.Errorf("two requests of key %d at once", n%keys)
			}
			writing[n%keys] = true
		}
		mu.Unlock()
		time.Sleep(rand.N(200 * time.Microsecond))
		mu.Lock()
		defer mu.Unlock()
		for _, n := range batch {
			writing[n%keys] = false
		}
	}
	errBegin := errors.New("no connection")
	q := groupcommit.New(func(_ context.Context, take groupcommit.Take[int]) ([]int, error) {
		if rand.IntN(10) == 0 {
			return nil, errBegin
		}
		_, batch := take()
		if len(batch) > 1 && rand.IntN(4) == 0 {
			time.Sleep(rand.N(2 * time.Millisecond)) // so that some have gone
			return nil, groupcommit.ErrAlone
		}
		write(batch...)
		return batch, nil
	}, options{
		Flushers: 2, MaxBatch: 5, MaxWaiting: 20, Abandon: true, Key: func(n int) string { return strconv.Itoa(n % keys) },
		Alone: func(_ context.Context, n int) (int, error) { write(n); return n, nil },
	})
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for i := range each {
				n := caller*each + i
				ctx, cancel := context.WithCancel(t.Context())
				if n%3 == 0 {
					time.AfterFunc(rand.N(2*time.Millisecond), cancel)
				}
				result, err := q.Do(ctx, n)
				cancel()
				mu.Lock()
				times := written[n]
				mu.Unlock()
				inFlight := errors.Is(err, groupcommit.ErrInFlight)
				if err == nil && (result != n || times != 1) || err != nil && times != 0 && !inFlight {
					t.Errorf("request %d: result %d, error %v, written %d times", n, result, err, times)
				}
				if err != nil && !errors.Is(err, errBegin) && (n%3 != 0 || !errors.Is(err, context.Canceled)) {
					t.Errorf("request %d: error %v", n, err)
				}
			}
		})
	}
	all.Wait()
}

// What was alone when its caller began to lead may be taken by another flusher before
// that one has got hold of what it needs: then nothing is left for it to take.
func TestLoneRequestMayBeTakenByAnotherFlusher(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		first := true
		q := groupcommit.New(func(ctx context.Context, take groupcommit.Take[int]) ([]int, error) {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("take panicked: %v", p)
				}
			}()
			if first {
				first = false
				time.Sleep(time.Second) // for a connection
			}
			return r.flush(ctx, take)
		}, options{Flushers: 2, Abandon: true})
		do(t, q, 1, 2)()
		wantBatches(t, r, []int{1, 2})
		do(t, q, 3)() // else the bubble finds that nothing goes on
	})
}
