package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/internal/backends"
)

var errAway = errors.New("connection refused")

// unreliable is a store that fails in every way a store can: before and after what it is
// asked for, with a known outcome and without, at once and when its context ends. Others
// write to its streams as well.
type unreliable struct {
	es.Store
	fails atomic.Bool // now and then

	mu  sync.Mutex
	rng *rand.Rand
}

func newUnreliable(store es.Store, seed uint64) *unreliable {
	u := &unreliable{Store: store, rng: rand.New(rand.NewPCG(seed, 1))}
	u.fails.Store(true)
	return u
}

// draw returns a number below n.
func (u *unreliable) draw(n int) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.rng.IntN(n)
}

// stall waits until ctx ends, or for a while.
func stall(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
	return ctx.Err()
}

// trouble is what goes wrong before something is sent, nil if nothing does.
func (u *unreliable) trouble(ctx context.Context) error {
	if !u.fails.Load() {
		return nil
	}
	switch u.draw(8) {
	case 0:
		return errAway
	case 1:
		return es.ErrBusy
	case 2:
		return stall(ctx)
	}
	return nil
}

func (u *unreliable) Append(ctx context.Context, stream es.StreamID, expected es.Expected, events ...es.EventData) (es.AppendResult, error) {
	if err := u.trouble(ctx); err != nil {
		return es.AppendResult{}, err
	}
	lost := func(err error) (es.AppendResult, error) { return es.AppendResult{}, &es.OutcomeUnknownError{Err: err} }
	kind := 9
	if u.fails.Load() {
		kind = u.draw(10)
	}
	switch kind {
	case 0:
		return lost(io.ErrUnexpectedEOF)
	case 1: // somebody is faster
		_, _ = u.Store.Append(context.WithoutCancel(ctx), stream, es.Any, es.EventData{Type: "sum.added", Data: []byte(`{"N":0}`)})
	}
	result, err := u.Store.Append(ctx, stream, expected, events...)
	switch {
	case err == nil && len(events) > 0 && kind == 2:
		return lost(io.ErrUnexpectedEOF)
	case err == nil && len(events) > 0 && kind == 3:
		return lost(stall(ctx))
	}
	return result, err
}

func (u *unreliable) ReadStream(ctx context.Context, stream es.StreamID, opts es.ReadOptions) iter.Seq2[es.Recorded, error] {
	return func(yield func(es.Recorded, error) bool) {
		if err := u.trouble(ctx); err != nil {
			yield(es.Recorded{}, err)
			return
		}
		for rec, err := range u.Store.ReadStream(ctx, stream, opts) {
			if u.fails.Load() && u.draw(200) == 0 {
				err = errAway
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

func (u *unreliable) FindEvents(ctx context.Context, ids ...uuid.UUID) ([]es.Recorded, error) {
	if err := u.trouble(ctx); err != nil {
		return nil, err
	}
	return u.Store.FindEvents(ctx, ids...)
}

// attempted is a command and what its caller was told.
type attempted struct {
	n      int // what its event adds, a number of its own
	stream string
	id     string
	events int
	err    error
}

// Whatever the store does, every Execute returns, soon after its context has ended, with an
// error that is true: nothing is written after a definite one, and what was written once
// is there once. Nobody is left waiting, no goroutine is left over, and the streams can be
// used afterwards.
func TestEveryExecuteReturnsWhateverTheStoreDoes(t *testing.T) {
	t.Parallel()
	for name, cache := range map[string]int{"without a cache": 0, "with a cache": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backends.Each(t, func(t *testing.T, b estest.Backend) {
				for seed := range uint64(6) {
					hammer(t, b.Store, newUnreliable(b.Store, seed), cache, fmt.Sprintf("seed%d-", seed))
				}
			})
		})
	}
}

func hammer(t *testing.T, store es.Store, u *unreliable, cache int, prefix string) {
	t.Helper()
	const callers, each = 8, 12
	repo := aggregate.NewRepository(u, numbers).WithStateCache(cache).WithRetry(aggregate.Retry{Attempts: 4, BaseDelay: time.Microsecond, MaxDelay: time.Millisecond})
	var mu sync.Mutex
	var all []attempted
	var done sync.WaitGroup
	for c := range callers {
		done.Go(func() {
			for i := range each {
				a := attempted{n: 1 + c*each + i, stream: fmt.Sprint(prefix, u.draw(2)), events: 1}
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(u.draw(30))*time.Millisecond)
				if u.draw(3) == 0 {
					a.id = fmt.Sprint(prefix, a.n)
				}
				a.err = a.execute(ctx, t, repo, u)
				for range 3 { // a command with an id is sent again until it is known to be there
					if a.id == "" || !errors.Is(a.err, es.ErrOutcomeUnknown) {
						break
					}
					if err := a.execute(ctx, t, repo, u); err == nil {
						a.err, a.events = nil, 1
					}
				}
				cancel()
				mu.Lock()
				all = append(all, a)
				mu.Unlock()
			}
		})
	}
	done.Wait()
	u.fails.Store(false)
	landed := map[int]int{}
	for s := range 2 {
		key := fmt.Sprint(prefix, s)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		root, err := repo.Execute(ctx, key, func(*number) ([]event, error) { return []event{added{0}}, nil })
		cancel()
		if err != nil {
			t.Fatalf("the stream cannot be used any more: %v", err)
		}
		stored, err := aggregate.NewRepository(store, numbers).Load(t.Context(), key)
		if err != nil || fmt.Sprint(stored.State()) != fmt.Sprint(root.State()) || stored.Version() != root.Version() {
			t.Fatalf("Execute returns %v at version %d, stored is %v, %v", root.State(), root.Version(), stored.State(), err)
		}
		for _, n := range stored.State().Seen {
			landed[n]++
		}
	}
	for _, a := range all {
		n := landed[a.n]
		switch {
		case errors.Is(a.err, es.ErrOutcomeUnknown) && n <= 1:
		case a.err == nil && n == a.events, a.err != nil && !errors.Is(a.err, es.ErrOutcomeUnknown) && n == 0:
		default:
			t.Errorf("command %d, id %q, of %d events was told %v, and is in the log %d times", a.n, a.id, a.events, a.err, n)
		}
	}
	waitForGoroutines(t)
}

// execute executes the command and checks that it comes back in time, with an error of a
// kind that there can be.
func (a *attempted) execute(ctx context.Context, t *testing.T, repo *aggregate.Repository[*number, event], u *unreliable) error {
	t.Helper()
	call := ctx
	if a.id != "" {
		call = es.WithCommandID(ctx, a.id)
	}
	kind := u.draw(6)
	if errors.Is(a.err, es.ErrOutcomeUnknown) { // the same command
		kind = 3
	}
	if a.events = 1; kind < 2 {
		a.events = 0
	}
	begun, n := time.Now(), a.n
	root, err := repo.Execute(call, a.stream, func(*number) ([]event, error) {
		switch kind {
		case 0:
			return nil, nil
		case 1:
			return nil, errTooMuch
		case 2:
			_ = stall(ctx)
		}
		return []event{added{n}}, nil
	})
	if deadline, _ := ctx.Deadline(); time.Since(deadline) > 10*time.Second {
		t.Errorf("Execute returned %v after its context had ended; it took %v", time.Since(deadline), time.Since(begun))
	}
	if (root == nil) != (err != nil) {
		t.Errorf("Execute returns root %v and error %v", root, err)
	}
	for _, kind := range []error{nil, errAway, errTooMuch, es.ErrBusy, es.ErrConflict, es.ErrOutcomeUnknown, context.DeadlineExceeded} {
		if errors.Is(err, kind) {
			return err
		}
	}
	t.Errorf("Execute returns %v", err)
	return err
}

// waitForGoroutines waits until no goroutine runs in this package's code or in group
// commits.
func waitForGoroutines(t *testing.T) {
	t.Helper()
	buf := make([]byte, 1<<20)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		stacks := string(buf[:runtime.Stack(buf, true)])
		left := 0
		for _, stack := range strings.Split(stacks, "\n\n") {
			if strings.Contains(stack, "groupcommit.(*batch") && strings.Contains(stack, "aggregate.(*line") && strings.Contains(stack, "aggregate_test.number") {
				left++
			}
		}
		if left == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d goroutines are left over:\n%s", left, stacks)
		}
	}
}

// number is a state that remembers what was added.
type number struct{ Seen []int }

func (n *number) Apply(e event) {
	if e, ok := e.(added); ok && e.N != 0 {
		n.Seen = append(n.Seen, e.N)
	}
}

var numbers = aggregate.Define("number", sums.Events(), func() *number { return new(number) })
