package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/internal/backends"
)

func TestExecuteDecidesAgainUntilItWins(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		const writers, each = 16, 5
		repo := newRepository(b.Store).WithRetry(aggregate.Retry{Attempts: 1000})
		var decisions atomic.Int64
		var all sync.WaitGroup
		for range writers {
			all.Go(func() {
				for range each {
					r, err := repo.Execute(t.Context(), "1", func(s *sum) ([]event, error) {
						decisions.Add(1)
						return []event{added{s.Total + 1}, added{-s.Total}}, nil // total + 1
					})
					if err != nil {
						t.Error(err)
					} else if int64(r.State().Events) != r.Version() || len(r.Pending()) != 0 {
						t.Errorf("state of %d events at version %d with %d pending", r.State().Events, r.Version(), len(r.Pending()))
					}
				}
			})
		}
		all.Wait()
		wantStored(t, repo, 2*writers*each, writers*each)
		t.Logf("%d decisions for %d commands", decisions.Load(), writers*each)
	})
}

// Rows B32, B33.
func TestDecisionsErrorIsReturnedAsItIs(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := newRepository(b.Store)
		if _, err := repo.Execute(t.Context(), "1", adding(1)); err != nil {
			t.Fatal(err)
		}
		for _, refusal := range []error{errTooMuch, fmt.Errorf("mine: %w", es.ErrConflict), es.ErrOutcomeUnknown} {
			decisions := 0
			r, err := repo.Execute(t.Context(), "1", func(*sum) ([]event, error) {
				decisions++
				return []event{added{1}}, refusal
			})
			if r != nil || err != refusal || decisions != 1 { //nolint:errorlint // it must come back as it is
				t.Errorf("got %v, error %v after %d decisions; want %v after one", r, err, decisions, refusal)
			}
		}
		if r, err := repo.Execute(t.Context(), "1", func(*sum) ([]event, error) { return nil, nil }); err != nil || r.Version() != 1 {
			t.Errorf("a decision without events: %v, %v", r, err)
		}
		wantStored(t, repo, 1, 1)
	})
}

func TestExecuteGivesUpAfterItsAttempts(t *testing.T) {
	t.Parallel()
	conflict := &es.ConflictError{Stream: stream, Actual: 7}
	attempts := 0
	store := &hooked{Store: backends.NewSQLite(t).Store, append: func(func() (es.AppendResult, error)) (es.AppendResult, error) {
		attempts++
		return es.AppendResult{}, conflict
	}}
	repo := newRepository(store).WithRetry(aggregate.Retry{Attempts: 3, BaseDelay: time.Microsecond})
	if _, err := repo.Execute(t.Context(), "1", adding(1)); !errors.Is(err, conflict) || attempts != 3 {
		t.Errorf("got error %v after %d attempts, want the conflict after 3", err, attempts)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := newRepository(store).Execute(ctx, "1", func(*sum) ([]event, error) {
		cancel()
		return []event{added{1}}, nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", err)
	}
}

// The answer of an append is lost: before or after it was written, Execute
// finds out and lands the decision once.
func TestExecuteFindsOutALostOutcome(t *testing.T) {
	t.Parallel()
	for name, written := range map[string]bool{"written": true, "not written": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backends.Each(t, func(t *testing.T, b estest.Backend) {
				failures := 2
				store := &hooked{Store: b.Store, append: func(do func() (es.AppendResult, error)) (es.AppendResult, error) {
					if failures--; failures < 0 {
						return do()
					}
					if written {
						if _, err := do(); err != nil {
							t.Error(err)
						}
					}
					return es.AppendResult{}, &es.OutcomeUnknownError{Err: io.ErrUnexpectedEOF}
				}}
				decisions := 0
				r, err := newRepository(store).Execute(t.Context(), "1", func(s *sum) ([]event, error) {
					decisions++
					return s.add(5)
				})
				if err != nil || decisions != 1 {
					t.Fatalf("error %v after %d decisions", err, decisions)
				}
				wantRoot(t, r, 1, 5)
				wantStored(t, newRepository(b.Store), 1, 5)
			})
		})
	}
}

func TestRepeatedCommandLandsOnce(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		for name, repo := range map[string]*repository{
			"full": newRepository(b.Store), "snapshots": aggregate.NewRepository(b.Store, sums.WithSnapshots(aggregate.Snapshots{Every: 10})),
		} {
			pay := func() context.Context { return es.WithCommandID(t.Context(), "pay-7") } // each time it is sent
			decide := func(s *sum) ([]event, error) {
				if s.Total != 0 {
					return nil, errors.New("decided on the state after the command")
				}
				return []event{added{1}, added{2}}, nil
			}
			first, err := repo.Execute(pay(), name, decide)
			if err != nil || first.LastAppend().Duplicate {
				t.Fatalf("%s: %+v, %v", name, first.LastAppend(), err)
			}
			for range 150 { // snapshots lie in between
				if _, err := repo.Execute(t.Context(), name, adding(0)); err != nil {
					t.Fatal(err)
				}
			}
			again, err := repo.Execute(pay(), name, decide)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := again.LastAppend(); !got.Duplicate || got.Version != 152 || got.Position == 0 || again.Version() != 152 {
				t.Errorf("%s: %+v at version %d, want a duplicate at version 152", name, got, again.Version())
			}
			// The command's id counts for each stream on its own.
			if other, err := repo.Execute(pay(), name+"-other", decide); err != nil || other.LastAppend().Duplicate {
				t.Errorf("%s: %+v, %v", name, other.LastAppend(), err)
			}
		}
	})
}

func TestCommandRepeatedAtOnceLandsOnce(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := newRepository(b.Store)
		var landed atomic.Int32
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				ctx := es.WithCommandID(t.Context(), "pay-7")
				r, err := repo.Execute(ctx, "1", adding(10+i)) // not even deterministic
				if err != nil {
					t.Error(err)
					return
				}
				if !r.LastAppend().Duplicate {
					landed.Add(1)
				}
				stored, err := repo.Load(t.Context(), "1")
				if err != nil || stored.State().Total != r.State().Total {
					t.Errorf("answered total %d, stored %d, error %v", r.State().Total, stored.State().Total, err)
				}
			})
		}
		all.Wait()
		if n := landed.Load(); n != 1 {
			t.Errorf("%d of 8 landed", n)
		}
	})
}
