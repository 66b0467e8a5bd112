package aggregate_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/internal/backends"
)

// Row B1.
func TestSavedEventsRebuildTheState(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := newRepository(b.Store)
		r, err := sums.New("1")
		if err != nil {
			t.Fatal(err)
		}
		r.Record(added{3}, added{7})
		wantRoot(t, r, 0, 10)
		if err := repo.Save(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		wantRoot(t, r, 2, 10)
		if got := r.LastAppend(); got.Version != 2 || got.Position == 0 || got.Duplicate {
			t.Errorf("append %+v", got)
		}
		loaded, err := repo.Load(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		wantRoot(t, loaded, 2, 10)
		if loaded.Stream() != stream || len(loaded.Pending()) != 0 {
			t.Errorf("stream %s, pending %v", loaded.Stream(), loaded.Pending())
		}
		if err := repo.Save(t.Context(), loaded); err != nil { // nothing to save
			t.Error(err)
		}
		wantStored(t, repo, 2, 10)
	})
}

// Rows B36, B37.
func TestMissingAggregate(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := newRepository(b.Store)
		if r, err := repo.Load(t.Context(), "1"); r != nil || !errors.Is(err, es.ErrStreamNotFound) || !strings.Contains(err.Error(), "sum-1") {
			t.Errorf("Load: %v, error %v; want ErrStreamNotFound that names it", r, err)
		}
		wantStored(t, repo, 0, 0)
		for _, key := range []string{"", "\x00"} {
			if _, err := repo.Load(t.Context(), key); !errors.Is(err, es.ErrInvalidStream) {
				t.Errorf("Load(%q): got error %v, want ErrInvalidStream", key, err)
			}
			if _, err := repo.Execute(t.Context(), key, adding(1)); !errors.Is(err, es.ErrInvalidStream) {
				t.Errorf("Execute(%q): got error %v, want ErrInvalidStream", key, err)
			}
			if _, err := sums.New(key); !errors.Is(err, es.ErrInvalidStream) {
				t.Errorf("New(%q): got error %v, want ErrInvalidStream", key, err)
			}
		}
	})
}

// Row B24.
func TestFailedSaveKeepsPendingEvents(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := newRepository(b.Store)
		mustSave(t, repo, added{1})
		ours, err := repo.Load(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		mustSave(t, repo, added{2}) // somebody is faster
		ours.Record(added{4})
		for range 2 {
			if err := repo.Save(t.Context(), ours); !errors.Is(err, es.ErrConflict) {
				t.Errorf("got error %v, want ErrConflict", err)
			}
			if diff := cmp.Diff([]event{added{4}}, ours.Pending()); diff != "" || ours.Version() != 1 {
				t.Errorf("version %d, pending (-want +got):\n%s", ours.Version(), diff)
			}
		}
		wantStored(t, repo, 2, 3)
	})
}

// Row B28: what cannot be encoded is found before anything is sent.
func TestUnencodableEventFailsTheSave(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := newRepository(b.Store)
		r, err := sums.New("1")
		if err != nil {
			t.Fatal(err)
		}
		r.Record(added{1}, stranger{}, added{2})
		if err := repo.Save(t.Context(), r); !errors.Is(err, codec.ErrUnknownEvent) || !strings.Contains(err.Error(), "event 2 for sum-1") {
			t.Errorf("got error %v, want ErrUnknownEvent that names the event", err)
		}
		err = b.InTx(t.Context(), func(tx es.Tx) error {
			if err := repo.In(tx).Save(t.Context(), r); !errors.Is(err, codec.ErrUnknownEvent) {
				t.Errorf("in a transaction: got error %v, want ErrUnknownEvent", err)
			}
			_, err := repo.In(tx).Execute(t.Context(), "1", adding(5)) // the transaction is usable
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Pending()) != 1 || r.Version() != 0 {
			t.Errorf("version %d, pending %v", r.Version(), r.Pending())
		}
		wantStored(t, repo, 1, 5)
	})
}

// Rows B22, B30.
func TestUndecodableEventIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		eventType, data string
		want            error
	}{
		"malformed payload": {"sum.added", `{"N": "many"}`, codec.ErrMalformed},
		"unknown type":      {"sum.multiplied", `{}`, codec.ErrUnknownEvent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backends.Each(t, func(t *testing.T, b estest.Backend) {
				repo := aggregate.NewRepository(b.Store, sums.WithSnapshots(aggregate.Snapshots{Every: 2}))
				mustSave(t, repo, added{1}, added{2}) // with a snapshot
				appendRaw(t, b, c.eventType, c.data)
				check := func(r *root, err error) {
					t.Helper()
					decode, ok := errors.AsType[*es.DecodeError](err)
					if r != nil || !ok || !errors.Is(err, c.want) {
						t.Fatalf("got %v, error %v; want a DecodeError", r, err)
					}
					if decode.Stream != stream || decode.Version != 3 || decode.Type != c.eventType {
						t.Errorf("error carries %+v", *decode)
					}
				}
				check(repo.Load(t.Context(), "1"))
				check(newRepository(b.Store).Load(t.Context(), "1"))
				err := b.InTx(t.Context(), func(tx es.Tx) error {
					check(repo.In(tx).LoadForUpdate(t.Context(), "1"))
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// Rows B21, B23, B41: with a hole there is no aggregate, on any path.
func TestCorruptStreamGivesNoAggregate(t *testing.T) {
	t.Parallel()
	for name, deleted := range map[string]int64{"middle": 2, "behind the snapshot": 5, "last": 6} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backends.Each(t, func(t *testing.T, b estest.Backend) {
				full := newRepository(b.Store)
				snapshotted := aggregate.NewRepository(b.Store, sums.WithSnapshots(aggregate.Snapshots{Every: 4}))
				mustSave(t, snapshotted, added{1}, added{1}, added{1}, added{1})
				mustSave(t, full, added{1}, added{1})
				if err := b.DeleteEvent(t.Context(), stream, deleted); err != nil {
					t.Fatal(err)
				}
				check := func(path string, r *root, err error) {
					t.Helper()
					if r != nil || !errors.Is(err, es.ErrCorruptStream) {
						t.Errorf("%s: got %v, error %v; want ErrCorruptStream", path, r, err)
					}
				}
				r, err := full.Load(t.Context(), "1")
				check("full", r, err)
				r, err = full.Execute(t.Context(), "1", adding(1))
				check("execute", r, err)
				if deleted > 4 { // a snapshot hides what is before it
					r, err = snapshotted.Load(t.Context(), "1")
					check("snapshot", r, err)
				}
				err = b.InTx(t.Context(), func(tx es.Tx) error {
					r, err := full.In(tx).LoadForUpdate(t.Context(), "1")
					check("for update", r, err)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// Row B27.
func TestMetadataOfTheContextIsSaved(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := newRepository(b.Store)
		want := es.Metadata{Actor: "ann", CorrelationID: "c"}
		ctx := es.WithMetadata(t.Context(), want)
		if _, err := repo.Execute(ctx, "1", adding(1)); err != nil {
			t.Fatal(err)
		}
		err := b.InTx(t.Context(), func(tx es.Tx) error {
			_, err := repo.In(tx).Execute(ctx, "1", adding(1))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rec, err := range b.Store.ReadStream(t.Context(), stream, es.ReadOptions{}) {
			n++
			if diff := cmp.Diff(want, rec.Metadata); err != nil || diff != "" {
				t.Errorf("error %v, metadata (-want +got):\n%s", err, diff)
			}
		}
		if n != 2 {
			t.Errorf("%d events, want 2", n)
		}
	})
}

func TestDefineRefusesFaults(t *testing.T) {
	t.Parallel()
	for name, define := range map[string]func(){
		"category": func() { aggregate.Define("a-b", events, newSum) },
		"union":    func() { aggregate.Define[*sum, event]("sum", nil, newSum) },
		"state":    func() { aggregate.Define[*sum]("sum", events, nil) },
		"Every":    func() { sums.WithSnapshots(aggregate.Snapshots{}) },
		"secret": func() {
			aggregate.Define("sum", events, func() *hidden { return nil }).WithSnapshots(aggregate.Snapshots{Every: 1})
		},
		"Deep.secret": func() {
			aggregate.Define("sum", events, func() *nested { return nil }).WithSnapshots(aggregate.Snapshots{Every: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				err, _ := recover().(error)
				if err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("panic with %v, want one that names %q", err, name)
				}
			}()
			define()
		})
	}
}

type hidden struct {
	sum
	secret int //nolint:unused // it is there to be lost
}

type nested struct{ Deep []map[string]*hidden }

func (*nested) Apply(event) {}
