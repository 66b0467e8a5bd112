package sqlite_test

import (
	"database/sql"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
)

// wantRevision checks the revision of the subscription "s", 0 for none.
func wantRevision(t *testing.T, s *sqlite.Store, want int64) {
	t.Helper()
	if _, revision, err := s.LoadCheckpoint(t.Context(), "s"); revision != want || err != nil {
		t.Errorf("revision %d, %v; want %d", revision, err, want)
	}
}

// The handler writes its own tables with the progress.
func TestDeliverCommitsTheHandlersTables(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s, db := openStore(t, path, sqlite.Options{}), openSQL(t, path)
	execSQL(t, db, "CREATE TABLE seen (n INTEGER PRIMARY KEY)")
	deliver := func(revision int64, n int) error {
		return s.Deliver(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), "INSERT INTO seen VALUES (?)", n)
			return err
		}, es.Progress{Subscription: "s", Revision: revision})
	}
	if err := deliver(0, 1); err != nil {
		t.Fatal(err)
	}
	if err := deliver(1, 1); err == nil {
		t.Error("a handler whose statement fails takes effect")
	}
	if err := deliver(0, 2); !errors.Is(err, es.ErrStaleCheckpoint) {
		t.Errorf("got error %v, want ErrStaleCheckpoint", err)
	}
	wantRevision(t, s, 1)
	n := 0
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM seen").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows, %v; want 1", n, err)
	}
}

// SQLite can end a transaction under its user's hands. A handler that does not
// notice must not have its progress stored.
func TestDeliverStoresNothingWhenTheTransactionWasEnded(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s, db := openStore(t, path, sqlite.Options{}), openSQL(t, path)
	execSQL(t, db, "CREATE TABLE seen (n INTEGER PRIMARY KEY)")
	execSQL(t, db, "INSERT INTO seen VALUES (1)")
	err := s.Deliver(t.Context(), func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO seen VALUES (2)"); err != nil {
			t.Error(err)
		}
		_, err := tx.ExecContext(t.Context(), "INSERT OR ROLLBACK INTO seen VALUES (1)")
		if err == nil {
			t.Error("a duplicate row is taken")
		}
		return nil
	}, es.Progress{Subscription: "s", Checkpoint: `{"v":1,"position":1}`})
	if err == nil {
		t.Error("a transaction that was rolled back counts as committed")
	}
	wantRevision(t, s, 0)
	if err := s.SaveProgress(t.Context(), es.Progress{Subscription: "s"}); err != nil { // the connection is usable
		t.Error(err)
	}
}

// What a handler appends with Join wakes the readers, and a handler that appends
// nothing does not, or a reader that is caught up would never rest.
func TestDeliverHearsTheHandlersAppends(t *testing.T) {
	t.Parallel()
	s := openStore(t, tempFile(t), sqlite.Options{})
	var calls atomic.Int32
	defer s.OnAppend(func() { calls.Add(1) })()
	for revision, appends := range []bool{false, true, false} {
		calls.Store(0)
		err := s.Deliver(t.Context(), func(tx *sql.Tx) error {
			if !appends {
				return nil
			}
			_, err := s.Join(tx).Append(t.Context(), streamA, es.NoStream, noted())
			return err
		}, es.Progress{Subscription: "s", Revision: int64(revision)})
		if got := calls.Load() > 0; err != nil || got != appends {
			t.Errorf("appends %v, %v: called %v", appends, err, got)
		}
	}
}

// A write that waits too long is refused and changes nothing.
func TestProgressBehindALongTransactionIsBusy(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s, other := openStore(t, path, sqlite.Options{}), openStore(t, path, sqlite.Options{BusyTimeout: 200 * time.Millisecond})
	holdLock(t, s, func() {
		for name, call := range map[string]func() error{
			"claim": func() error { _, _, err := other.ClaimCheckpoint(t.Context(), "s", ""); return err },
			"save":  func() error { return other.SaveProgress(t.Context(), es.Progress{Subscription: "s"}) },
			"deliver": func() error {
				return other.Deliver(t.Context(), func(*sql.Tx) error { return nil }, es.Progress{Subscription: "s"})
			},
		} {
			if err := call(); !errors.Is(err, es.ErrBusy) {
				t.Errorf("%s: got error %v, want ErrBusy", name, err)
			}
		}
	})
	wantRevision(t, s, 0)
}

// Progress in a transaction is undone with it, and alone when it is stale.
func TestProgressInATransaction(t *testing.T) {
	t.Parallel()
	s := openStore(t, tempFile(t), sqlite.Options{})
	refused := errors.New("refused")
	for _, result := range []error{refused, nil} {
		err := s.InTx(t.Context(), func(tx *sqlite.Tx) error {
			if err := tx.SaveProgress(t.Context(), es.Progress{Subscription: "s"}); err != nil {
				return err
			}
			if err := tx.SaveProgress(t.Context(), es.Progress{Subscription: "s"}); !errors.Is(err, es.ErrStaleCheckpoint) {
				t.Errorf("got error %v, want ErrStaleCheckpoint", err)
			}
			return result
		})
		if !errors.Is(err, result) {
			t.Error(err)
		}
		wantRevision(t, s, map[bool]int64{true: 1}[result == nil])
	}
}

func TestParkingWhatCannotBeReadBackIsRefused(t *testing.T) {
	t.Parallel()
	s := openStore(t, tempFile(t), sqlite.Options{})
	p := es.Progress{Subscription: "s", Park: []es.Failure{{Position: 1, Version: 1, Stream: es.StreamID{Category: "a-b", Key: "c"}}}}
	if err := s.SaveProgress(t.Context(), p); !errors.Is(err, es.ErrInvalidStream) {
		t.Errorf("got error %v, want ErrInvalidStream", err)
	}
	wantRevision(t, s, 0)
}

// Counting ends behind 100,000 events.
func TestLagIsCountedUpToALimit(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s := openStore(t, path, sqlite.Options{})
	mustAppend(t, s, streamA, es.NoStream, noted())
	for _, c := range []struct {
		events int
		want   es.Lag
	}{{100_000, es.Lag{Events: 100_000}}, {100_001, es.Lag{Events: 100_000, More: true}}} {
		execSQL(t, openSQL(t, path), `
			WITH RECURSIVE v (n) AS (SELECT max(stream_version) + 1 FROM peat_events UNION ALL SELECT n + 1 FROM v WHERE n < ?)
			INSERT INTO peat_events (stream_no, stream_version, category, recorded_at, event_id, event_type, data)
			SELECT stream_no, n, category, recorded_at, randomblob(16), event_type, data FROM v, peat_events
			WHERE global_position = 1`, c.events)
		got, err := s.Lag(t.Context(), "", es.FeedOptions{})
		got.Age = 0
		if err != nil || got != c.want {
			t.Errorf("of %d events: %+v, %v; want %+v", c.events, got, err, c.want)
		}
	}
}

// A position that was deleted by hand is behind a reader when all segments are.
func TestDeliveredOfAHole(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s := openStore(t, path, sqlite.Options{})
	mustAppend(t, s, streamA, es.NoStream, noted(), noted(), noted())
	execSQL(t, openSQL(t, path), "DELETE FROM peat_events WHERE global_position = 2")
	for i, want := range []bool{false, true} {
		err := s.SaveProgress(t.Context(), es.Progress{Subscription: []string{"s0", "s1"}[i], Checkpoint: `{"v":1,"position":2}`})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Delivered(t.Context(), 2, []string{"s0", "s1"}); got != want || err != nil {
			t.Errorf("with %d segments behind it: %v, %v", i+1, got, err)
		}
	}
	if _, err := s.Delivered(t.Context(), 2, nil); err == nil {
		t.Error("a reader without segments is taken")
	}
}
