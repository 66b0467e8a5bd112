package aggregate_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/internal/backends"
	"github.com/peatlog/peat/proptest"
)

// forgetful is a log whose commits a crash takes away, as after a failover to a server that
// had not got them.
type forgetful struct{ *proptest.Log }

func (f forgetful) Append(ctx context.Context, stream es.StreamID, expected es.Expected, events ...es.EventData) (es.AppendResult, error) {
	tx := f.Begin()
	defer tx.Rollback() // without effect after a commit
	result, err := tx.Append(ctx, stream, expected, events...)
	if err != nil {
		return result, err
	}
	return result, tx.CommitAsync()
}

// A state that was kept is of no use once the log has lost what it was made of: whether the
// stream is shorter then, as long, or longer. Nothing is decided on it, and no command counts
// as landed because it had.
func TestKeptStateDoesNotOutliveTheLog(t *testing.T) {
	t.Parallel()
	for name, others := range map[string]int{"shorter": 0, "still shorter": 1, "as long": 2, "longer": 4} {
		for what, use := range map[string]func(*testing.T, *repository){
			"a command that writes": func(t *testing.T, repo *repository) {
				t.Helper()
				if r, err := repo.Execute(t.Context(), "1", adding(100)); err != nil || r.State().Total != 10+others+100 {
					t.Errorf("%v, %v", r, err)
				}
			},
			"a command that refuses": func(t *testing.T, repo *repository) {
				t.Helper()
				seen := -1
				_, err := repo.Execute(t.Context(), "1", func(s *sum) ([]event, error) { seen = s.Total; return nil, errTooMuch })
				if !errors.Is(err, errTooMuch) || seen != 10+others {
					t.Errorf("refused with %v on a total of %d", err, seen)
				}
			},
			"a command that had landed": func(t *testing.T, repo *repository) {
				t.Helper()
				r, err := repo.Execute(es.WithCommandID(t.Context(), "lost"), "1", adding(7))
				if err != nil || r.LastAppend().Duplicate || r.State().Total != 10+others+7 {
					t.Errorf("%v, %v", r, err)
				}
			},
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				t.Parallel()
				log := proptest.NewLog(proptest.LogOptions{})
				durable := newRepository(log)
				mustSave(t, durable, added{10})
				repo := newRepository(forgetful{log}).WithStateCache(4).WithRetry(aggregate.Retry{Attempts: 2, BaseDelay: 1})
				for _, ctx := range []context.Context{es.WithCommandID(t.Context(), "lost"), t.Context()} {
					if _, err := repo.Execute(ctx, "1", adding(7)); err != nil {
						t.Fatal(err)
					}
				}
				log.Crash(1000)
				for range others {
					mustSave(t, durable, added{1})
				}
				use(t, repo)
				use2 := newRepository(log)
				if r, err := use2.Load(t.Context(), "1"); err != nil || r.State().Events != int(r.Version()) {
					t.Errorf("stored: %v, %v", r, err)
				}
			})
		}
	}
}

// A root that was loaded long ago is not saved on another history either.
func TestRootOfALostHistoryIsNotSaved(t *testing.T) {
	t.Parallel()
	log := proptest.NewLog(proptest.LogOptions{})
	mustSave(t, newRepository(log), added{1})
	mustSave(t, newRepository(forgetful{log}), added{2})
	old, err := newRepository(log).Load(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	log.Crash(1000)
	mustSave(t, newRepository(log), added{50})
	old.Record(added{3})
	if err := newRepository(log).Save(t.Context(), old); !errors.Is(err, es.ErrConflict) {
		t.Errorf("got error %v, want ErrConflict", err)
	}
	wantStored(t, newRepository(log), 2, 51)
}

// Once the outcome of a save is unknown, it stays so until an answer says otherwise: that the
// repeated save finds no server says nothing about the first one.
func TestUnknownOutcomeStaysUnknown(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		for name, after := range map[string]error{
			"no server": errAway, "busy": es.ErrBusy, "the context ends": context.DeadlineExceeded, "unknown again": &es.OutcomeUnknownError{Err: io.EOF},
		} {
			attempts := 0
			store := &hooked{Store: b.Store, append: func(do func() (es.AppendResult, error)) (es.AppendResult, error) {
				if attempts++; attempts > 1 && attempts < 4 {
					return es.AppendResult{}, after
				}
				result, err := do()
				if err == nil && attempts == 1 {
					return es.AppendResult{}, &es.OutcomeUnknownError{Err: io.ErrUnexpectedEOF}
				}
				return result, err
			}}
			repo := newRepository(store).WithRetry(aggregate.Retry{Attempts: 3, BaseDelay: 1})
			if _, err := repo.Execute(t.Context(), "execute "+name, adding(1)); !errors.Is(err, es.ErrOutcomeUnknown) || !errors.Is(err, after) {
				t.Errorf("%s: Execute returns %v", name, err)
			}
			attempts = 0
			r, err := sums.New("save " + name)
			if err != nil {
				t.Fatal(err)
			}
			r.Record(added{1})
			for range 3 {
				if err := repo.Save(t.Context(), r); !errors.Is(err, es.ErrOutcomeUnknown) {
					t.Errorf("%s: Save returns %v", name, err)
				}
			}
			if err := repo.Save(t.Context(), r); err != nil || r.Version() != 1 || !r.LastAppend().Duplicate {
				t.Errorf("%s: Save in the end: %v, %+v", name, err, r.LastAppend())
			}
			for _, key := range []string{"execute ", "save "} {
				if stored, err := newRepository(b.Store).Load(t.Context(), key+name); err != nil || stored.Version() != 1 {
					t.Errorf("%s%s: stored at version %d, %v", key, name, stored.Version(), err)
				}
			}
		}
	})
}
