package aggregate_test

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/internal/backends"
)

func every(n int) *aggregate.Definition[*sum, event] {
	return sums.WithSnapshots(aggregate.Snapshots{Every: n, Schema: 1})
}

func snapshotVersion(t *testing.T, b estest.Backend) int64 {
	t.Helper()
	s, _, err := b.Store.ReadSnapshot(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.Version
}

// counting counts what a load reads.
type counting struct {
	aggregate.Store
	read int
}

func (c *counting) ReadStream(ctx context.Context, id es.StreamID, opts es.ReadOptions) iter.Seq2[es.Recorded, error] {
	return func(yield func(es.Recorded, error) bool) {
		for rec, err := range c.Store.ReadStream(ctx, id, opts) {
			c.read++
			if !yield(rec, err) {
				return
			}
		}
	}
}

// Rows B7, B20.
func TestLoadIsSnapshotPlusTail(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := aggregate.NewRepository(b.Store, every(2))
		for i, want := range []int64{0, 2, 2, 4, 4} {
			mustSave(t, repo, added{i + 1})
			if got := snapshotVersion(t, b); got != want {
				t.Errorf("after version %d the snapshot is at %d, want %d", i+1, got, want)
			}
		}
		mustSave(t, repo, added{6}, added{7}, added{8}) // over two borders at once
		if got := snapshotVersion(t, b); got != 8 {
			t.Errorf("the snapshot is at %d, want 8", got)
		}
		mustSave(t, repo, added{9})
		store := &counting{Store: b.Store}
		wantStored(t, aggregate.NewRepository(store, every(2)), 9, 45)
		if store.read != 2 { // the snapshot's own event and the one behind it
			t.Errorf("the load read %d events", store.read)
		}
		wantStored(t, newRepository(b.Store), 9, 45)
	})
}

// Rows B8, B9: what does not fit is ignored and the stream replayed.
func TestSnapshotThatDoesNotFitIsIgnored(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		full := newRepository(b.Store)
		mustSave(t, full, added{10}, added{20})
		var last es.Recorded
		for rec, err := range b.Store.ReadStream(t.Context(), stream, es.ReadOptions{From: 2}) {
			if last = rec; err != nil {
				t.Fatal(err)
			}
		}
		state := `{"Total": 1000000, "Events": 2}`
		version := int64(1000)
		for _, c := range []struct {
			name     string
			snapshot es.Snapshot
			warning  string
		}{
			{"of another schema", es.Snapshot{Version: 2, EventID: last.ID, Schema: 7, Data: []byte(state)}, ""},
			{"of another type of state", es.Snapshot{Version: 2, EventID: last.ID, Form: "another", Data: []byte(state)}, ""},
			{"with another shape", es.Snapshot{Version: 2, EventID: last.ID, Data: []byte(`{"Total": "many"}`)}, "snapshot_undecodable"},
			{"that is no JSON", es.Snapshot{Version: 2, EventID: last.ID, Data: []byte("\x00")}, "snapshot_undecodable"},
			{"that is null", es.Snapshot{Version: 2, EventID: last.ID, Data: []byte("null")}, "snapshot_undecodable"},
			{"of another history", es.Snapshot{Version: 2, EventID: uuid.New(), Data: []byte(state)}, "snapshot_of_another_history"},
			{"of a longer stream", es.Snapshot{Version: 9, EventID: last.ID, Data: []byte(state)}, "snapshot_of_another_history"},
		} {
			// Each schema is new, so that the snapshot replaces the one before.
			version++
			schema := int(version)
			c.snapshot.Stream = stream
			c.snapshot.Schema += schema
			c.snapshot.Form += aggregate.Form(sums.WithSnapshots(aggregate.Snapshots{Every: 1}))
			if err := b.Store.WriteSnapshot(t.Context(), c.snapshot); err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			repo := aggregate.NewRepository(b.Store, sums.WithSnapshots(aggregate.Snapshots{Every: 100, Schema: schema})).
				WithLogger(slog.New(slog.NewTextHandler(&log, nil)))
			wantStored(t, repo, 2, 30)
			if !strings.Contains(log.String(), c.warning) || c.warning == "" && log.Len() > 0 {
				t.Errorf("%s: logged %q, want %q", c.name, log.String(), c.warning)
			}
		}
	})
}

// A snapshot that cannot be written costs nothing but time.
func TestFailingSnapshotDoesNotFailTheSave(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		var log strings.Builder
		repo := aggregate.NewRepository(noSnapshots{b.Store}, every(1)).WithLogger(slog.New(slog.NewTextHandler(&log, nil)))
		mustSave(t, repo, added{1})
		if !strings.Contains(log.String(), "snapshot_not_written") {
			t.Errorf("logged %q", log.String())
		}
		wantStored(t, newRepository(b.Store), 1, 1)
	})
}

type noSnapshots struct{ aggregate.Store }

func (noSnapshots) WriteSnapshot(context.Context, es.Snapshot) error { return errors.New("disk full") }

// Defect W2: under a writer, no load and no snapshot ever holds a state that is
// not the one of its version.
func TestSnapshotsUnderConcurrentWriters(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := aggregate.NewRepository(b.Store, every(3)).WithRetry(aggregate.Retry{Attempts: 1000})
		var writers, readers sync.WaitGroup
		done := make(chan struct{})
		for range 4 {
			writers.Go(func() {
				for range 25 {
					if _, err := repo.Execute(t.Context(), "1", adding(1)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for range 2 {
			readers.Go(func() {
				for loads := 0; ; loads++ {
					select {
					case <-done:
						return
					default:
					}
					r, err := repo.LoadOrNew(t.Context(), "1")
					if err != nil {
						t.Error(err)
						return
					}
					if int64(r.State().Total) != r.Version() || int64(r.State().Events) != r.Version() {
						t.Errorf("total %d of %d events at version %d", r.State().Total, r.State().Events, r.Version())
						return
					}
				}
			})
		}
		writers.Wait()
		close(done)
		readers.Wait()
		wantStored(t, repo, 100, 100)
		wantStored(t, newRepository(b.Store), 100, 100)
	})
}

func TestSnapshotOfATransactionIsWrittenAfterItsCommit(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := aggregate.NewRepository(b.Store, every(2))
		run := func(end error) {
			err := b.InTx(t.Context(), func(tx es.Tx) error {
				if _, err := repo.In(tx).Execute(t.Context(), "1", func(*sum) ([]event, error) { return []event{added{1}, added{2}}, nil }); err != nil {
					return err
				}
				return end
			})
			if !errors.Is(err, end) {
				t.Fatal(err)
			}
		}
		run(errRefused)
		if v := snapshotVersion(t, b); v != 0 {
			t.Errorf("a rolled back transaction left a snapshot at version %d", v)
		}
		run(nil)
		if v := snapshotVersion(t, b); v != 2 {
			t.Errorf("the snapshot is at version %d, want 2", v)
		}
		wantStored(t, repo, 2, 3)
	})
}
