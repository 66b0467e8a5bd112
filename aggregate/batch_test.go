package aggregate_test

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/internal/backends"
)

// counted is a store that counts, and whose appends can be held up.
type counted struct {
	aggregate.Store
	appends, loads, tails atomic.Int64 // with events; from the beginning; from a later version
	before                func()       // before an append, if not nil
}

func (c *counted) Append(ctx context.Context, id es.StreamID, expected es.Expected, events ...es.EventData) (es.AppendResult, error) {
	if len(events) > 0 {
		c.appends.Add(1)
		if c.before != nil {
			c.before()
		}
	}
	return c.Store.Append(ctx, id, expected, events...)
}

func (c *counted) ReadStream(ctx context.Context, id es.StreamID, opts es.ReadOptions) iter.Seq2[es.Recorded, error] {
	if opts.From <= 1 {
		c.loads.Add(1)
	} else {
		c.tails.Add(1)
	}
	return c.Store.ReadStream(ctx, id, opts)
}

// queued is calls of Execute that wait behind one whose append is held up.
type queued struct {
	t     *testing.T
	store *counted
	repo  *repository
	open  func() // lets the append go on
	first chan struct{}
}

func newQueued(t *testing.T, store aggregate.Store) *queued {
	t.Helper()
	gate, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	q := &queued{t: t, store: &counted{Store: store}, first: make(chan struct{}), open: sync.OnceFunc(func() { close(gate) })}
	q.store.before = func() { once.Do(func() { close(held) }); <-gate }
	q.repo = newRepository(q.store)
	go func() {
		defer close(q.first)
		if _, err := q.repo.Execute(context.WithoutCancel(t.Context()), "1", adding(1)); err != nil {
			t.Error(err)
		}
	}()
	<-held
	t.Cleanup(func() { q.open(); <-q.first })
	return q
}

// execution is a call that waits.
type execution struct {
	root     *root
	err      error
	panicked any
	done     chan struct{}
}

func (q *queued) execute(ctx context.Context, decide func(*sum) ([]event, error)) *execution {
	q.t.Helper()
	before := aggregate.Waiting(q.repo, stream)
	e := &execution{done: make(chan struct{})}
	go func() {
		defer close(e.done)
		defer func() { e.panicked = recover() }()
		e.root, e.err = q.repo.Execute(ctx, "1", decide)
	}()
	for deadline := time.Now().Add(20 * time.Second); aggregate.Waiting(q.repo, stream) == before; {
		if time.Now().After(deadline) {
			q.t.Fatal("the call does not wait")
		}
		time.Sleep(100 * time.Microsecond)
	}
	return e
}

func TestCallsOnOneStreamShareAnAppend(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		q := newQueued(t, b.Store)
		calls := make([]*execution, 20)
		for i := range calls {
			ctx := es.WithMetadata(t.Context(), es.Metadata{Actor: "actor " + strconv.Itoa(i)})
			if i%2 == 0 {
				ctx = es.WithMetadata(ctx, es.Metadata{CorrelationID: "even", Values: map[string]string{"even": "yes"}})
			}
			calls[i] = q.execute(ctx, func(s *sum) ([]event, error) { return []event{added{s.Total}, added{i}}, nil })
		}
		q.open()
		total := 1
		for i, c := range calls {
			<-c.done
			if c.err != nil {
				t.Fatal(c.err)
			}
			total = 2*total + i
			wantRoot(t, c.root, int64(2*i+3), total)
			if result := c.root.LastAppend(); result.Version != c.root.Version() || result.Position == 0 || result.Duplicate {
				t.Errorf("call %d: %+v", i, result)
			}
		}
		if n := q.store.appends.Load(); n != 2 {
			t.Errorf("%d appends, want 2", n)
		}
		wantStored(t, q.repo, 41, total)
		for rec, err := range b.Store.ReadStream(t.Context(), stream, es.ReadOptions{From: 2}) {
			if err != nil {
				t.Fatal(err)
			}
			i := int(rec.Version-2) / 2
			want := es.Metadata{Actor: "actor " + strconv.Itoa(i)}
			if i%2 == 0 {
				want.CorrelationID, want.Values = "even", map[string]string{"even": "yes"}
			}
			if diff := cmp.Diff(want, rec.Metadata); diff != "" {
				t.Errorf("metadata of version %d (-want +got):\n%s", rec.Version, diff)
			}
		}
		if active, kept := aggregate.Lines(q.repo); kept != 0 || active > 1 {
			t.Errorf("%d lines in use, %d kept", active, kept)
		}
	})
}

func TestWhatGoesWrongInOneCallConcernsNobodyElse(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		q := newQueued(t, b.Store)
		errMine := errors.New("mine")
		var good []*execution
		add := func() { good = append(good, q.execute(t.Context(), adding(1))) }
		add()
		refused := q.execute(t.Context(), func(s *sum) ([]event, error) {
			s.Total, s.Events = 1000, 1000 // it must not, and nobody sees it
			return []event{added{5}}, errMine
		})
		add()
		panics := q.execute(t.Context(), func(s *sum) ([]event, error) { s.Total = 1000; panic(errMine) })
		unknown := q.execute(t.Context(), func(*sum) ([]event, error) { return []event{added{5}, stranger{}}, nil })
		add()
		empty := q.execute(t.Context(), func(*sum) ([]event, error) { return nil, nil })
		large := q.execute(es.WithMetadata(t.Context(), es.Metadata{Actor: strings.Repeat("x", estest.MaxEventBytes)}), adding(5))
		changes := q.execute(t.Context(), func(s *sum) ([]event, error) { s.Total += 1000; return []event{added{1}}, nil })
		add()
		q.open()
		for i, c := range good {
			<-c.done
			if c.err != nil {
				t.Fatalf("call %d: %v", i, c.err)
			}
		}
		<-changes.done
		if changes.err != nil {
			t.Error(changes.err)
		}
		if <-refused.done; refused.err != errMine || refused.root != nil { //nolint:errorlint // as it is
			t.Errorf("refused: %v", refused.err)
		}
		if <-panics.done; !isPanicOf(panics.panicked, errMine) {
			t.Errorf("panicked with %v", panics.panicked)
		}
		if <-unknown.done; unknown.err == nil {
			t.Error("an event that is in no union was taken")
		}
		if <-large.done; !errors.Is(large.err, es.ErrTooLarge) {
			t.Errorf("got error %v, want ErrTooLarge", large.err)
		}
		if <-empty.done; empty.err != nil || empty.root.Version() != 4 {
			t.Errorf("without events: %v, %v", empty.root, empty.err)
		}
		wantStored(t, q.repo, 6, 6)
		wantRoot(t, good[3].root, 6, 6)
	})
}

func TestCallThatIsCancelledWhileItWaitsIsWithdrawn(t *testing.T) {
	t.Parallel()
	q := newQueued(t, backends.NewSQLite(t).Store)
	ctx, cancel := context.WithCancel(t.Context())
	cancelled := q.execute(ctx, func(*sum) ([]event, error) { t.Error("it has decided"); return nil, nil })
	behind := q.execute(t.Context(), adding(1))
	cancel()
	<-cancelled.done
	if !errors.Is(cancelled.err, context.Canceled) || errors.Is(cancelled.err, es.ErrOutcomeUnknown) {
		t.Errorf("got error %v, want context.Canceled with a known outcome", cancelled.err)
	}
	q.open()
	<-behind.done
	wantRoot(t, behind.root, 2, 2)
}

// Of equal commands in one append the first lands, and the others are told so.
func TestEqualCommandsInOneAppendLandOnce(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		q := newQueued(t, b.Store)
		sent := func(id string) context.Context { return es.WithCommandID(t.Context(), id) }
		calls := []*execution{
			q.execute(sent("pay-7"), adding(5)), q.execute(t.Context(), adding(1)), q.execute(sent("pay-7"), adding(5)),
			q.execute(sent("pay-8"), adding(2)), q.execute(sent("pay-7"), adding(6)),
		}
		q.open()
		for i, c := range calls {
			<-c.done
			if c.err != nil {
				t.Fatal(c.err)
			}
			if got, want := c.root.LastAppend().Duplicate, i == 2 || i == 4; got != want {
				t.Errorf("call %d: duplicate %v, want %v", i, got, want)
			}
		}
		wantRoot(t, calls[2].root, 3, 7)
		wantStored(t, q.repo, 4, 9)
	})
}

// Another process writes in between: the calls decide again, on what they lack.
func TestConflictReadsTheTailAndDecidesAgain(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		mustSave(t, newRepository(b.Store), added{4}, added{6})
		store := &counted{Store: b.Store}
		times := 0
		store.before = func() {
			if times++; times <= 2 {
				mustSave(t, newRepository(b.Store), added{100})
			}
		}
		decisions := 0
		r, err := newRepository(store).Execute(t.Context(), "1", func(s *sum) ([]event, error) {
			decisions++
			return []event{added{s.Total}}, nil
		})
		if err != nil || decisions != 3 {
			t.Fatalf("error %v after %d decisions", err, decisions)
		}
		wantRoot(t, r, 5, 420)
		wantStored(t, newRepository(b.Store), 5, 420)
		if loads, tails := store.loads.Load(), store.tails.Load(); loads != 1 || tails != 2 {
			t.Errorf("%d loads and %d of the tail, want 1 and 2", loads, tails)
		}
	})
}

func TestStateCacheReadsWhatOthersWrote(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		store := &counted{Store: b.Store}
		repo, others := newRepository(store).WithRetry(aggregate.Retry{Attempts: 1}).WithStateCache(2), newRepository(b.Store)
		reads := func(what string, loads, tails int64) {
			t.Helper()
			if l, n := store.loads.Swap(0), store.tails.Swap(0); l != loads || n != tails {
				t.Errorf("%s: %d loads and %d of the tail, want %d and %d", what, l, n, loads, tails)
			}
		}
		execute := func(n int) *root {
			t.Helper()
			r, err := repo.Execute(t.Context(), "1", adding(n))
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		execute(1)
		reads("the first", 1, 0)
		old := execute(1)
		old.State().Total = 1000 // its owner may
		wantRoot(t, execute(1), 3, 3)
		reads("the next ones", 0, 0)
		mustSave(t, others, added{10})
		wantRoot(t, execute(1), 5, 14) // at the first attempt
		reads("behind another one", 0, 1)
		mustSave(t, others, cleared{})
		seen := -1
		if _, err := repo.Execute(t.Context(), "1", func(s *sum) ([]event, error) { seen = s.Total; return nil, errTooMuch }); !errors.Is(err, errTooMuch) || seen != 0 {
			t.Errorf("refused with %v on a total of %d, want %v on 0", err, seen, errTooMuch)
		}
		reads("a refusal", 0, 1)
		for _, duplicate := range []bool{false, true} {
			ctx := es.WithCommandID(t.Context(), "pay-7")
			r, err := repo.Execute(ctx, "1", adding(2))
			if err != nil || r.LastAppend().Duplicate != duplicate {
				t.Errorf("%+v, %v; want duplicate %v", r.LastAppend(), err, duplicate)
			}
		}
		reads("a command with an id", 0, 0)
		for _, key := range []string{"2", "3", "1"} {
			if _, err := repo.Execute(t.Context(), key, adding(1)); err != nil {
				t.Fatal(err)
			}
		}
		reads("more streams than are kept", 3, 0)
		if active, kept := aggregate.Lines(repo); active != 0 || kept != 2 {
			t.Errorf("%d lines in use, %d kept", active, kept)
		}
		wantStored(t, others, 8, 3)
	})
}

// Two processes with caches, and their callers.
func TestCachesOfTwoProcessesAgree(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		const writers, each = 8, 15
		repos := []*repository{}
		for range 2 {
			repos = append(repos, newRepository(b.Store).WithRetry(aggregate.Retry{Attempts: 1000}).WithStateCache(1))
		}
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for range each {
					before := -1
					r, err := repos[w%2].Execute(t.Context(), "1", func(s *sum) ([]event, error) {
						before = s.Total
						return []event{added{1}}, nil
					})
					if err != nil {
						t.Error(err)
					} else if r.State().Total != before+1 || r.Version() != int64(before+1) {
						t.Errorf("decided on %d, version %d of total %d", before, r.Version(), r.State().Total)
					}
				}
			})
		}
		all.Wait()
		wantStored(t, repos[0], writers*each, writers*each)
	})
}

// A call whose context ends during its decision sends nothing, however late a store
// notices. When it is alone, it is certain of having written nothing.
func TestLoneCallThatEndsInItsDecisionWritesNothing(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		store := &hooked{Store: b.Store, append: func(do func() (es.AppendResult, error)) (es.AppendResult, error) {
			if ctx.Err() != nil {
				t.Error("something was sent for a caller who has gone")
			}
			return do()
		}}
		repo := newRepository(store)
		decide := adding(1)
		_, err := repo.Execute(ctx, "1", func(s *sum) ([]event, error) {
			cancel()
			return decide(s)
		})
		if !errors.Is(err, context.Canceled) || errors.Is(err, es.ErrOutcomeUnknown) {
			t.Errorf("got error %v, want context.Canceled and a known outcome", err)
		}
		root, err := newRepository(b.Store).Execute(t.Context(), "1", adding(1))
		if err != nil || root.Version() != 1 {
			t.Errorf("version %d, %v; want 1", root.Version(), err)
		}
	})
}

// Among calls that share an append, one whose caller has gone is left out, and the others
// decide as if it had never been.
func TestCallThatEndsBeforeItIsSentIsLeftOut(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		q := newQueued(t, b.Store)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		first := q.execute(t.Context(), adding(1))
		gone := q.execute(ctx, func(*sum) ([]event, error) {
			cancel()
			return []event{added{100}}, nil
		})
		last := q.execute(t.Context(), func(s *sum) ([]event, error) { return []event{added{s.Total}}, nil })
		q.open()
		<-gone.done
		if !errors.Is(gone.err, context.Canceled) && !errors.Is(gone.err, es.ErrOutcomeUnknown) {
			t.Errorf("the caller who has gone: %v", gone.err)
		}
		for _, c := range []*execution{first, last} {
			if <-c.done; c.err != nil {
				t.Error(c.err)
			}
		}
		wantRoot(t, last.root, 3, 4)
		wantStored(t, newRepository(b.Store), 3, 4)
	})
}

// isPanicOf reports whether a decision has panicked with a value, and its stack is there.
func isPanicOf(p any, value error) bool {
	e, ok := p.(*aggregate.PanicError)
	return ok && errors.Is(e, value) && strings.Contains(e.Error(), "batch_test.go")
}
