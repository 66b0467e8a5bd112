package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/internal/backends"
)

// repositories are the kinds of repositories that commands are executed by.
func repositories(store aggregate.Store) map[string]*repository {
	return map[string]*repository{
		"plain": newRepository(store), "cached": newRepository(store).WithStateCache(4),
		"snapshots": aggregate.NewRepository(store, sums.WithSnapshots(aggregate.Snapshots{Every: 10})),
	}
}

// commanded is a way to have a command write an event.
type commanded func(ctx context.Context, repo *repository, key string, e event) (*root, error)

func ways(b estest.Backend) map[string]commanded {
	saving := func(ctx context.Context, repo interface {
		LoadOrNew(ctx context.Context, key string) (*root, error)
		Save(ctx context.Context, r *root) error
	}, key string, e event,
	) (*root, error) {
		r, err := repo.LoadOrNew(ctx, key)
		if err != nil {
			return nil, err
		}
		r.Record(e)
		return r, repo.Save(ctx, r)
	}
	return map[string]commanded{
		"Execute": func(ctx context.Context, repo *repository, key string, e event) (*root, error) {
			return repo.Execute(ctx, key, func(*sum) ([]event, error) { return []event{e}, nil })
		},
		"Save": func(ctx context.Context, repo *repository, key string, e event) (*root, error) {
			return saving(ctx, repo, key, e)
		},
		"Execute in a transaction": func(ctx context.Context, repo *repository, key string, e event) (r *root, err error) {
			err = b.InTx(ctx, func(tx es.Tx) (err error) {
				r, err = repo.In(tx).Execute(ctx, key, func(*sum) ([]event, error) { return []event{e}, nil })
				return err
			})
			return r, err
		},
		"Save in a transaction": func(ctx context.Context, repo *repository, key string, e event) (r *root, err error) {
			err = b.InTx(ctx, func(tx es.Tx) (err error) {
				r, err = saving(ctx, repo.In(tx), key, e)
				return err
			})
			return r, err
		},
	}
}

// A command lands once, in whatever way, by whatever repository, and however long ago.
func TestCommandLandsOnceForEver(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		for kind, repo := range repositories(b.Store) {
			for way, do := range ways(b) {
				key := kind + " " + way
				first, err := do(es.WithCommandID(t.Context(), "pay"), repo, key, added{1})
				if err != nil || first.LastAppend().Duplicate || first.State().Total != 1 {
					t.Fatalf("%s: %+v, %v", key, first, err)
				}
				many := make([]event, 300)
				for i := range many {
					many[i] = added{0}
				}
				r, err := repo.Load(t.Context(), key)
				if err != nil {
					t.Fatal(err)
				}
				r.Record(many...)
				if err := repo.Save(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				for again, do := range ways(b) { // also in another way
					r, err := do(es.WithCommandID(t.Context(), "pay"), repo, key, added{1})
					if err != nil {
						t.Errorf("%s, then %s: %v", key, again, err)
						continue
					}
					if at := r.LastAppend(); !at.Duplicate || at.Version != 301 || at.Position == 0 || r.Version() != 301 || r.State().Total != 1 || len(r.Pending()) != 0 {
						t.Errorf("%s, then %s: %+v at version %d, total %d, %d pending", key, again, at, r.Version(), r.State().Total, len(r.Pending()))
					}
				}
				if r, err := do(es.WithCommandID(t.Context(), "another"), repo, key, added{5}); err != nil || r.State().Total != 6 {
					t.Errorf("%s: the command after it: %v, %v", key, r, err)
				}
			}
		}
	})
}

// Two commands on one stream under one id: the second would be taken for a repetition. It is
// refused, with what to do, and so it is where the first one had landed long ago.
func TestSecondCommandOfAContextIsRefused(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := newRepository(b.Store)
		for way, do := range ways(b) {
			for then, second := range ways(b) {
				key := way + ", then " + then
				for range 2 { // the second time all of it is a repetition
					ctx := es.WithCommandID(t.Context(), "handler/event-7")
					if _, err := do(ctx, repo, key, added{2}); err != nil {
						t.Fatal(err)
					}
					r, err := second(ctx, repo, key, added{3})
					if !errors.Is(err, es.ErrCommandReused) || !strings.Contains(fmt.Sprint(err), "es.WithSubCommand") {
						t.Errorf("%s: %v, %v", key, r, err)
					}
					if r, err = second(es.WithSubCommand(ctx, "second"), repo, key, added{3}); err != nil || r.State().Total != 5 {
						t.Errorf("%s: as a sub-command: %v, %v", key, r, err)
					}
					if _, err := second(ctx, repo, key+" elsewhere", added{3}); err != nil {
						t.Errorf("%s: on another stream: %v", key, err)
					}
				}
				if stored, err := repo.Load(t.Context(), key); err != nil || stored.Version() != 2 || stored.State().Total != 5 {
					t.Errorf("%s: stored version %d, %v", key, stored.Version(), err)
				}
			}
		}
	})
}

// Two commands in one transaction under one id are caught, too; and a transaction that was
// rolled back can be run again.
func TestCommandInATransactionThatIsRolledBack(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := newRepository(b.Store)
		ctx := es.WithCommandID(t.Context(), "pay")
		err := b.InTx(ctx, func(tx es.Tx) error {
			if _, err := repo.In(tx).Execute(ctx, "1", adding(1)); err != nil {
				return err
			}
			_, err := repo.In(tx).Execute(ctx, "1", adding(2))
			return err
		})
		if !errors.Is(err, es.ErrCommandReused) {
			t.Errorf("twice in one transaction: %v", err)
		}
		for range 2 {
			err = b.InTx(ctx, func(tx es.Tx) error {
				if _, err := repo.In(tx).Execute(ctx, "1", adding(1)); err != nil {
					t.Error(err)
				}
				return errTooMuch
			})
			if !errors.Is(err, errTooMuch) {
				t.Error(err)
			}
		}
		if r, err := repo.Execute(ctx, "1", adding(1)); err != nil || r.Version() != 1 {
			t.Errorf("after two that were rolled back: %v, %v", r, err)
		}
		wantStored(t, repo, 1, 1)
	})
}

// An id that stands for another command already is refused, where both say what they are.
func TestCommandIDOfAnotherCommandIsRefused(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		for kind, repo := range repositories(b.Store) {
			for way, do := range ways(b) {
				key := kind + " " + way
				if _, err := do(es.WithCommand(t.Context(), "request-1", "deposit 100"), repo, key, added{100}); err != nil {
					t.Fatal(err)
				}
				if _, err := do(es.WithCommand(t.Context(), "request-1", "withdraw 30"), repo, key, added{-30}); !errors.Is(err, es.ErrCommandReused) || !strings.Contains(err.Error(), "withdraw 30") {
					t.Errorf("%s: another fingerprint: %v", key, err)
				}
				for _, fingerprint := range []string{"deposit 100", ""} { // the same; nobody knows
					r, err := do(es.WithCommand(t.Context(), "request-1", fingerprint), repo, key, added{100})
					if err != nil || !r.LastAppend().Duplicate || r.State().Total != 100 {
						t.Errorf("%s: repeated with the fingerprint %q: %v, %v", key, fingerprint, r, err)
					}
				}
				for rec, err := range b.Store.ReadStream(t.Context(), es.StreamID{Category: "sum", Key: key}, es.ReadOptions{}) {
					if err != nil || rec.Metadata.CommandFingerprint != "deposit 100" {
						t.Errorf("%s: stored with %+v, %v", key, rec.Metadata, err)
					}
				}
			}
		}
	})
}

// Commands that a handler sends at once, in one context, are told apart as well.
func TestCommandsOfOneContextAtOnce(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		for kind, repo := range repositories(b.Store) {
			for round := range 5 {
				key := fmt.Sprint(kind, round)
				ctx := es.WithCommandID(t.Context(), "handler/event-7")
				var landed, refused atomic.Int64
				var all sync.WaitGroup
				for i := range 8 {
					all.Go(func() {
						_, err := repo.Execute(ctx, key, adding(i))
						switch {
						case err == nil:
							landed.Add(1)
						case errors.Is(err, es.ErrCommandReused):
							refused.Add(1)
						default:
							t.Error(err)
						}
					})
				}
				all.Wait()
				if landed.Load() != 1 || refused.Load() != 7 {
					t.Errorf("%s: %d landed, %d were refused", key, landed.Load(), refused.Load())
				}
			}
		}
	})
}

// The commands of one root are told apart by their own events, whatever else it has recorded
// and wherever that was saved: each lands once when all is repeated.
func TestCommandsOfOneRoot(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := newRepository(b.Store)
		for range 3 {
			ctx := es.WithCommandID(t.Context(), "message-1")
			err := b.InTx(ctx, func(tx es.Tx) error {
				r, err := repo.In(tx).LoadForUpdate(ctx, "one transaction")
				if err != nil {
					return err
				}
				r.Record(added{1})
				if err := repo.In(tx).Save(ctx, r); err != nil {
					return err
				}
				r.Record(added{2})
				return repo.In(tx).Save(es.WithSubCommand(ctx, "second"), r)
			})
			if err != nil {
				t.Error(err)
			}
		}
		if r, err := repo.Load(t.Context(), "one transaction"); err != nil || r.Version() != 2 || r.State().Total != 3 {
			t.Errorf("one transaction: %v, %v", r, err)
		}

		r, err := repo.LoadOrNew(t.Context(), "rolled back")
		if err != nil {
			t.Fatal(err)
		}
		r.Record(added{1})
		first, second := es.WithCommand(t.Context(), "a", "first"), es.WithCommand(t.Context(), "b", "second")
		rollback := func(tx es.Tx) error { return errors.Join(repo.In(tx).Save(first, r), errTooMuch) }
		if err := b.InTx(first, rollback); !errors.Is(err, errTooMuch) || errors.Is(err, es.ErrConflict) {
			t.Fatal(err)
		}
		r.Record(added{2})
		if err := repo.Save(second, r); err != nil {
			t.Fatal(err)
		}
		for want, ctx := range map[string]context.Context{"first": es.WithCommand(t.Context(), "a", "first"), "second": es.WithCommand(t.Context(), "b", "second")} {
			again, err := repo.Execute(ctx, "rolled back", adding(9))
			if err != nil || !again.LastAppend().Duplicate || again.State().Total != 3 {
				t.Errorf("rolled back, the %s command again: %v, %v", want, again, err)
			}
		}
	})
}

// A save whose command has landed before does not drop what the root holds of another save.
func TestDuplicateKeepsOtherPendingEvents(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := newRepository(b.Store)
		if _, err := repo.Execute(es.WithCommandID(t.Context(), "c"), "1", adding(1)); err != nil {
			t.Fatal(err)
		}
		r, err := repo.Load(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		r.Record(added{2})
		err = b.InTx(t.Context(), func(tx es.Tx) error {
			if err := repo.In(tx).Save(t.Context(), r); err != nil {
				return err
			}
			r.Record(added{1})
			return repo.In(tx).Save(es.WithCommandID(t.Context(), "c"), r)
		})
		if !errors.Is(err, es.ErrConflict) || len(r.Pending()) != 2 || r.Version() != 1 {
			t.Errorf("got error %v, version %d with %d pending events", err, r.Version(), len(r.Pending()))
		}
		wantStored(t, repo, 1, 1)
	})
}

// late is a store on which something happens between a load and the look for a command.
type late struct {
	aggregate.Store
	happen func()
}

func (l *late) FindEvents(ctx context.Context, ids ...uuid.UUID) ([]es.Recorded, error) {
	if f := l.happen; f != nil {
		l.happen = nil
		f()
	}
	return l.Store.FindEvents(ctx, ids...)
}

// A command that lands elsewhere after the load is answered with a state that includes it.
func TestDuplicateThatLandsAfterTheLoad(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		store := &late{Store: b.Store}
		all := repositories(store)
		delete(all, "plain") // it reads the whole stream, and so need not look
		for kind, repo := range all {
			for range 10 { // a snapshot
				if _, err := repo.Execute(t.Context(), kind, adding(1)); err != nil {
					t.Fatal(err)
				}
			}
			store.happen = func() {
				if _, err := newRepository(b.Store).Execute(es.WithCommandID(t.Context(), "c"), kind, adding(2)); err != nil {
					t.Error(err)
				}
			}
			r, err := repo.Execute(es.WithCommandID(t.Context(), "c"), kind, adding(2))
			if err != nil || !r.LastAppend().Duplicate || r.Version() != 11 || r.State().Total != 12 || store.happen != nil {
				t.Errorf("%s: %v, %v", kind, r, err)
			}
		}
	})
}

// No two different commands have the ids of one.
func TestCommandsWithSimilarNames(t *testing.T) {
	t.Parallel()
	repo := newRepository(backends.NewSQLite(t).Store)
	with, sub := es.WithCommandID, es.WithSubCommand
	base := t.Context()
	all := []context.Context{
		with(base, "order"), with(base, "order/1"), with(base, "order/"), with(base, "order/sub"),
		sub(with(base, "order"), "1"), sub(with(base, "order"), ""), sub(with(base, "order"), "sub"),
		sub(sub(with(base, "order"), "1"), "2"), sub(with(base, "order"), "1/2"), sub(with(base, "order/1"), "2"),
		with(base, "order\x00\x021"), sub(with(base, "order\x00"), "1"), sub(with(base, "order"), "\x001"),
	}
	for i, ctx := range all {
		if r, err := repo.Execute(ctx, "1", adding(1)); err != nil || r.LastAppend().Duplicate {
			t.Errorf("command %d, %q: %v, %v", i, es.CommandID(ctx), r, err)
		}
	}
}
