package aggregate_test

import (
	"errors"
	"testing"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/internal/backends"
)

var errRefused = errors.New("refused")

// Defect W11: a root knows what was committed and nothing else.
func TestRootSavedInATransactionWaitsForTheCommit(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := newRepository(b.Store)
		mustSave(t, repo, added{1})
		r, err := repo.Load(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		saveTwice := func(tx es.Tx) {
			t.Helper()
			in := repo.In(tx)
			r.Record(added{10})
			if err := in.Save(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if err := in.Save(t.Context(), r); err != nil { // nothing new
				t.Fatal(err)
			}
			r.Record(added{100})
			if err := in.Save(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if r.Version() != 1 || r.LastAppend().Version != int64(1+len(r.Pending())) {
				t.Errorf("before the end: version %d, append %+v, pending %v", r.Version(), r.LastAppend(), r.Pending())
			}
		}
		err = b.InTx(t.Context(), func(tx es.Tx) error { saveTwice(tx); return errRefused })
		if !errors.Is(err, errRefused) {
			t.Fatal(err)
		}
		if r.Version() != 1 || len(r.Pending()) != 2 {
			t.Errorf("after the rollback: version %d, pending %v", r.Version(), r.Pending())
		}
		wantStored(t, repo, 1, 1)

		err = b.InTx(t.Context(), func(tx es.Tx) error { saveTwice(tx); return nil })
		if err != nil {
			t.Fatal(err)
		}
		wantRoot(t, r, 5, 221)
		wantStored(t, repo, 5, 221)
		r.Record(added{1000})
		if err := repo.Save(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		wantStored(t, repo, 6, 1221)
	})
}

func TestEventsRecordedAfterTheSaveStayPending(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := newRepository(b.Store)
		r, err := sums.New("1")
		if err != nil {
			t.Fatal(err)
		}
		err = b.InTx(t.Context(), func(tx es.Tx) error {
			r.Record(added{1})
			if err := repo.In(tx).Save(t.Context(), r); err != nil {
				return err
			}
			r.Record(added{2})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Version() != 1 || len(r.Pending()) != 1 {
			t.Errorf("version %d, pending %v", r.Version(), r.Pending())
		}
		if err := repo.Save(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		wantStored(t, repo, 2, 3)
	})
}

func TestExecuteOnTwoAggregatesInOneTransaction(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := newRepository(b.Store)
		move := func(end error) error {
			return b.InTx(es.WithCommandID(t.Context(), "move"), func(tx es.Tx) error {
				in := repo.In(tx)
				if _, err := in.Execute(t.Context(), "1", adding(-5)); err != nil {
					return err
				}
				if r, err := in.Execute(t.Context(), "2", adding(5)); err != nil || r.State().Total != 5 {
					t.Errorf("%v, %v", r, err)
				}
				if _, err := in.Execute(t.Context(), "2", adding(1000)); !errors.Is(err, errTooMuch) {
					t.Errorf("got error %v, want the decision's", err)
				}
				return end
			})
		}
		if err := move(errRefused); !errors.Is(err, errRefused) {
			t.Fatal(err)
		}
		wantStored(t, repo, 0, 0)
		if err := move(nil); err != nil {
			t.Fatal(err)
		}
		wantStored(t, repo, 1, -5)
		if r, err := repo.Load(t.Context(), "2"); err != nil || r.State().Total != 5 {
			t.Errorf("%v, %v", r, err)
		}
	})
}

// Rows B36, B39: with and without lock, with and without snapshots, inside and
// outside a transaction, a load is a load.
func TestAllLoadsAgree(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		full := newRepository(b.Store)
		snapshotted := aggregate.NewRepository(b.Store, sums.WithSnapshots(aggregate.Snapshots{Every: 2}))
		mustSave(t, snapshotted, added{20}, added{10})
		mustSave(t, snapshotted, added{5})
		for _, repo := range []*repository{full, snapshotted} {
			wantStored(t, repo, 3, 35)
			err := b.InTx(t.Context(), func(tx es.Tx) error {
				in := repo.In(tx)
				r, err := in.Load(t.Context(), "1")
				if err != nil {
					return err
				}
				wantRoot(t, r, 3, 35)
				if r, err = in.LoadForUpdate(t.Context(), "1"); err != nil {
					return err
				}
				wantRoot(t, r, 3, 35)
				missing, err := in.LoadForUpdate(t.Context(), "nobody")
				if err != nil || missing.Version() != 0 {
					t.Errorf("a new aggregate for update: %v, %v", missing, err)
				}
				_, err = in.LoadForUpdate(t.Context(), "")
				if !errors.Is(err, es.ErrInvalidStream) {
					t.Errorf("got error %v, want ErrInvalidStream", err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Nobody tells a joined transaction's end: saving the root once more finds it out.
func TestRootSavedInAJoinedTransaction(t *testing.T) {
	t.Parallel()
	for name, commit := range map[string]bool{"committed": true, "rolled back": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := backends.NewPostgres(t)
			repo := newRepository(log.Store)
			r, err := sums.New("1")
			if err != nil {
				t.Fatal(err)
			}
			r.Record(added{1}, added{2})
			tx, err := log.Pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := repo.In(log.Store.Join(tx)).Save(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			end := tx.Rollback
			if commit {
				end = tx.Commit
			}
			if err := end(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := repo.Save(t.Context(), r); err != nil || r.LastAppend().Duplicate != commit {
				t.Errorf("%+v, error %v; want duplicate %v", r.LastAppend(), err, commit)
			}
			wantRoot(t, r, 2, 3)
			wantStored(t, repo, 2, 3)
		})
	}
}
