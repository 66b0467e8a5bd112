package groupcommit_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/internal/groupcommit"
)

type options = groupcommit.Options[int, int]

// recorder is a flush that takes a second, remembers its batches, but for those that
// another flusher left empty, and answers each request with its negative.
type recorder struct {
	mu      sync.Mutex
	batches [][]int
}

func (r *recorder) flush(_ context.Context, take groupcommit.Take[int]) ([]int, error) {
	_, batch := take()
	r.mu.Lock()
	if len(batch) > 0 {
		r.batches = append(r.batches, batch)
	}
	r.mu.Unlock()
	time.Sleep(time.Second) // in the bubble's time
	results := make([]int, len(batch))
	for i, n := range batch {
		results[i] = -n
	}
	return results, nil
}

// do calls Do for each request, one shortly after another.
func do(t *testing.T, q *groupcommit.Queue[int, int], requests ...int) (wait func()) {
	t.Helper()
	var all sync.WaitGroup
	for _, n := range requests {
		all.Go(func() {
			if result, err := q.Do(t.Context(), n); err != nil || result != -n {
				t.Errorf("request %d: result %d, error %v", n, result, err)
			}
		})
		synctest.Wait()
	}
	return all.Wait
}

func wantBatches(t *testing.T, r *recorder, want ...[]int) {
	t.Helper()
	if diff := cmp.Diff(want, r.batches); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
}

func TestRequestsThatComeDuringAFlushShareTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		start := time.Now()
		do(t, groupcommit.New(r.flush, options{}), 1, 2, 3, 4)()
		wantBatches(t, r, []int{1}, []int{2, 3, 4})
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v, want two flushes and no waiting", took)
		}
	})
}

func TestBatchesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		do(t, groupcommit.New(r.flush, options{MaxBatch: 2}), 1, 2, 3, 4, 5, 6)()
		wantBatches(t, r, []int{1}, []int{2, 3}, []int{4, 5}, []int{6})
	})
}

func TestFlushersWorkSideBySide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		start := time.Now()
		do(t, groupcommit.New(r.flush, options{Flushers: 2}), 1, 2, 3, 4)()
		wantBatches(t, r, []int{1}, []int{2}, []int{3, 4})
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v, want 2 s", took)
		}
	})
}

// decade is the key of a request in these tests.
func decade(n int) string { return strconv.Itoa(n / 10) }

func TestRequestsOfOneKeyTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		do(t, groupcommit.New(r.flush, options{Key: decade}), 1, 11, 12, 13, 21, 22)()
		wantBatches(t, r, []int{1}, []int{11, 21}, []int{12, 22}, []int{13})
	})
}

// Also not while another flusher writes one of them.
func TestRequestsOfOneKeyAreNotWrittenSideBySide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		q := groupcommit.New(r.flush, options{Key: decade, Flushers: 2})
		start := time.Now()
		do(t, q, 1, 2, 3)()
		wantBatches(t, r, []int{1}, []int{2}, []int{3})
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v, want 3 s", took)
		}
	})
}

func TestSizeOfABatchIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		q := groupcommit.New(r.flush, options{MaxSize: 10, Size: func(n int) int { return n }})
		do(t, q, 1, 2, 3, 5, 1, 99, 1)() // one that is too large goes by itself
		wantBatches(t, r, []int{1}, []int{2, 3, 5}, []int{1}, []int{99}, []int{1})
	})
}

// The queue holds so many; whoever comes then waits before it, and may go away.
func TestCallersBeyondTheBoundWaitForRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		q := groupcommit.New(r.flush, options{MaxWaiting: 2})
		wait := do(t, q, 1, 2, 3, 4)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if _, err := q.Do(ctx, 5); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want the context's", err)
		}
		more := do(t, q, 6)
		wait()
		more()
		wantBatches(t, r, []int{1}, []int{2, 3}, []int{4, 6})
	})
}

func TestCancelledRequestIsWithdrawnUntilItIsTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		q := groupcommit.New(r.flush, options{})
		ctx, cancel := context.WithCancel(t.Context())
		type answer struct {
			Result int
			Failed bool
			After  time.Duration
		}
		answers := make([]answer, 3)
		start := time.Now()
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				result, err := q.Do(ctx, i+1)
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				answers[i] = answer{result, err != nil, time.Since(start)}
			})
			synctest.Wait()
		}
		wait := do(t, q, 4)
		time.Sleep(time.Millisecond)
		cancel()
		all.Wait()
		wait()
		want := []answer{{-1, false, time.Second}, {0, true, time.Millisecond}, {0, true, time.Millisecond}}
		if diff := cmp.Diff(want, answers); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
		wantBatches(t, r, []int{1}, []int{4})
		for range 20 {
			if _, err := q.Do(ctx, 5); !errors.Is(err, context.Canceled) {
				t.Errorf("got error %v, want context.Canceled", err)
			}
		}
		wantBatches(t, r, []int{1}, []int{4})
	})
}

// A leader that cannot begin fails alone; the others get the next leader.
func TestFlushThatTakesNothingFailsItsLeaderOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		errBegin := errors.New("begin")
		failed := false
		q := groupcommit.New(func(ctx context.Context, take groupcommit.Take[int]) ([]int, error) {
			if !failed {
				failed = true
				time.Sleep(time.Second)
				return nil, errBegin
			}
			return r.flush(ctx, take)
		}, options{})
		leader := make(chan error, 1)
		go func() {
			_, err := q.Do(t.Context(), 1)
			leader <- err
		}()
		synctest.Wait()
		do(t, q, 2, 3)()
		if err := <-leader; !errors.Is(err, errBegin) {
			t.Errorf("the leader got %v", err)
		}
		wantBatches(t, r, []int{2, 3})
	})
}

func TestFlushThatFailsOrPanicsAnswersItsBatch(t *testing.T) {
	t.Parallel()
	errFlush := errors.New("flush")
	for name, c := range map[string]struct {
		end  func(batch []int) ([]int, error)
		want error
	}{
		"an error":        {func([]int) ([]int, error) { return nil, errFlush }, errFlush},
		"too few results": {func(batch []int) ([]int, error) { return batch[1:], nil }, groupcommit.ErrUnanswered},
		"a panic":         {func([]int) ([]int, error) { panic(errFlush) }, groupcommit.ErrUnanswered},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := groupcommit.New(func(_ context.Context, take groupcommit.Take[int]) ([]int, error) {
					time.Sleep(time.Second) // so that others come
					if _, batch := take(); batch[0] < 100 {
						return c.end(batch)
					}
					return []int{-100}, nil
				}, options{})
				var all sync.WaitGroup
				for n := range 3 {
					all.Go(func() {
						if _, err := q.Do(t.Context(), n+1); !errors.Is(err, c.want) {
							t.Errorf("got error %v, want %v", err, c.want)
						}
					})
				}
				all.Wait()
				do(t, q, 100)() // the queue works on
			})
		})
	}
}

// The real thing, for the race detector: nothing is lost or done twice.
func TestEveryRequestIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[int]int{}
	q := groupcommit.New(func(_ context.Context, take groupcommit.Take[int]) ([]int, error) {
		_, batch := take()
		mu.Lock()
		defer mu.Unlock()
		for _, n := range batch {
			seen[n]++
		}
		return batch, nil
	}, options{Flushers: 2, MaxBatch: 7})
	const callers, each = 32, 100
	var answered sync.Map
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for j := range each {
				n := i*each + j
				ctx, cancel := context.WithCancel(t.Context())
				if n%3 == 0 {
					go cancel()
				}
				if result, err := q.Do(ctx, n); err == nil && result == n {
					answered.Store(n, true)
				} else if n%3 != 0 || !errors.Is(err, context.Canceled) {
					t.Errorf("request %d: result %d, error %v", n, result, err)
				}
				cancel()
			}
		})
	}
	all.Wait()
	for n := range callers * each {
		want := 0
		if _, ok := answered.Load(n); ok {
			want = 1
		}
		if seen[n] != want {
			t.Errorf("request %d was written %d times, want %d", n, seen[n], want)
		}
	}
}
