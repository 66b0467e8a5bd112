package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
)

// Rows B84, B88, defects W20, W21: however a transaction ends, the connection
// comes back without one, and others can write.
func TestCancelledTransactionReleasesTheLock(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s, other := openStore(t, path, sqlite.Options{}), openStore(t, path, sqlite.Options{})
	steps := map[string]func(ctx context.Context, cancel func(), tx *sqlite.Tx) error{
		"before anything": func(ctx context.Context, cancel func(), tx *sqlite.Tx) error {
			cancel()
			_, err := tx.Append(ctx, streamA, es.Any, noted())
			return err
		},
		"after an append": func(ctx context.Context, cancel func(), tx *sqlite.Tx) error {
			_, err := tx.Append(ctx, streamA, es.Any, noted())
			cancel()
			return err
		},
		"beside an append": func(ctx context.Context, cancel func(), tx *sqlite.Tx) error {
			go cancel()
			for {
				if _, err := tx.Append(ctx, streamA, es.Any, noted()); err != nil {
					return err
				}
			}
		},
		"in the caller's statement": func(ctx context.Context, cancel func(), tx *sqlite.Tx) error {
			time.AfterFunc(time.Millisecond, cancel)
			_, err := tx.SQL().ExecContext(ctx, `UPDATE peat_streams SET version = (
				WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n)`)
			return err
		},
		"at the commit": func(_ context.Context, cancel func(), _ *sqlite.Tx) error {
			go cancel()
			return nil
		},
	}
	mustAppend(t, s, streamB, es.NoStream, noted())
	for name, step := range steps {
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			err := s.InTx(ctx, func(tx *sqlite.Tx) error { return step(ctx, cancel, tx) })
			cancel()
			if !errors.Is(err, context.Canceled) && (err != nil || name != "at the commit") {
				t.Errorf("cancelled %s: got error %v", name, err)
			}
			mustAppend(t, other, streamB, es.Any, noted())
			mustAppend(t, s, streamB, es.Any, noted())
		}
	}
	if n := count(t, s, streamA); n != 0 {
		t.Errorf("%d events of cancelled transactions", n)
	}
}

// Defect W21 again, at its narrowest: the context ends while the transaction begins.
func TestCancelledBeginReleasesTheLock(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s, other := openStore(t, path, sqlite.Options{}), openStore(t, path, sqlite.Options{})
	for i := range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		_ = s.InTx(ctx, func(*sqlite.Tx) error { return nil })
		if i%10 == 0 {
			mustAppend(t, other, streamA, es.Any, noted())
		}
		cancel()
	}
	mustAppend(t, s, streamA, es.Exact(10), noted())
}

// An append that fails half way leaves nothing in the transaction, which goes on.
func TestFailedAppendIsUndoneOnItsOwn(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s := openStore(t, path, sqlite.Options{})
	refuseBad(t, path)
	err := s.InTx(t.Context(), func(tx *sqlite.Tx) error {
		mustAppend(t, tx, streamA, es.NoStream, noted())
		for _, stream := range []es.StreamID{streamA, streamB} {
			_, err := tx.Append(t.Context(), stream, es.Any, noted(), bad())
			if err == nil || !strings.Contains(err.Error(), "refused by the trigger") {
				t.Errorf("got error %v", err)
			}
		}
		mustAppend(t, tx, streamA, es.Exact(1), noted())
		mustAppend(t, tx, streamB, es.NoStream, noted())
		return nil
	})
	if a, b := count(t, s, streamA), count(t, s, streamB); err != nil || a != 2 || b != 1 {
		t.Errorf("error %v, %d and %d events, want 2 and 1", err, a, b)
	}
}

// SQLite ends a transaction on its own when a trigger says so, or when the disk
// is full. Nothing that follows may land outside of it.
func TestTransactionThatSQLiteEndedStaysEnded(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s := openStore(t, path, sqlite.Options{})
	execSQL(t, openSQL(t, path), `CREATE TRIGGER roll_back BEFORE INSERT ON peat_events
		WHEN NEW.event_type = 'test.bad' BEGIN SELECT RAISE(ROLLBACK, 'all of it'); END`)
	err := s.InTx(t.Context(), func(tx *sqlite.Tx) error {
		mustAppend(t, tx, streamA, es.NoStream, noted())
		if _, err := tx.Append(t.Context(), streamA, es.Any, bad()); err == nil {
			t.Error("the bad event was taken")
		}
		if _, err := tx.Append(t.Context(), streamB, es.Any, noted()); err == nil {
			t.Error("an append was taken after the end of the transaction")
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "all of it") {
		t.Errorf("got error %v, want the one that ended the transaction", err)
	}
	if a, b := count(t, s, streamA), count(t, s, streamB); a+b != 0 {
		t.Errorf("%d and %d events, want none", a, b)
	}
	mustAppend(t, s, streamA, es.NoStream, noted())
}

// The context of a single append may end before the transaction's.
func TestCancelledAppendLeavesTheTransactionUsable(t *testing.T) {
	t.Parallel()
	s := openStore(t, tempFile(t), sqlite.Options{})
	events := make([]es.EventData, 500)
	for i := range events {
		events[i] = noted()
	}
	want := 0
	for range 20 {
		err := s.InTx(t.Context(), func(tx *sqlite.Tx) error {
			mustAppend(t, tx, streamB, es.Any, noted())
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, cancel)
			for {
				if _, err := tx.Append(ctx, streamA, es.Any, events...); err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("got error %v, want context.Canceled", err)
					}
					break
				}
				want += len(events)
			}
			mustAppend(t, tx, streamB, es.Any, noted())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if a, b := count(t, s, streamA), count(t, s, streamB); a != want || b != 40 {
		t.Errorf("%d and %d events, want %d and 40", a, b, want)
	}
}

func TestJoinSharesTheCallersTransaction(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s, db := openStore(t, path, sqlite.Options{}), openSQL(t, path)
	execSQL(t, db, "CREATE TABLE notes (n INTEGER)")
	run := func(end func(*sql.Tx) error, want int) {
		t.Helper()
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		joined := s.Join(tx)
		execSQL(t, joined.SQL(), "INSERT INTO notes VALUES (1)")
		mustAppend(t, joined, streamA, es.NoStream, noted())
		joined.AfterCommit(func() { t.Error("nobody can know of the commit of a joined transaction") })
		if n := count(t, joined, streamA); n != 1 {
			t.Errorf("the transaction reads %d events, want 1", n)
		}
		if err := end(tx); err != nil {
			t.Fatal(err)
		}
		rows := 0
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM notes").Scan(&rows); err != nil {
			t.Fatal(err)
		}
		if events := count(t, s, streamA); rows != want || events != want {
			t.Errorf("%d rows and %d events, want %d of each", rows, events, want)
		}
	}
	run((*sql.Tx).Rollback, 0)
	run((*sql.Tx).Commit, 1)
}

// A joined transaction may have begun as a reader, without the lock.
func TestLockStreamTakesTheWriteLock(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s, db := openStore(t, path, sqlite.Options{BusyTimeout: 200 * time.Millisecond}), openSQL(t, path)
	mustAppend(t, s, streamA, es.NoStream, noted())
	for stream, want := range map[es.StreamID]int64{streamA: 1, streamB: 0} {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if version, err := s.Join(tx).LockStream(t.Context(), stream); err != nil || version != want {
			t.Errorf("%s: version %d, error %v; want %d", stream, version, err, want)
		}
		if _, err := s.Append(t.Context(), stream, es.Any, noted()); !errors.Is(err, es.ErrBusy) {
			t.Errorf("an append to %s, which is locked: got error %v, want ErrBusy", stream, err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
}

// Row B87: a transaction that read before somebody else wrote can only be repeated.
func TestOutdatedSnapshotIsReportedAsBusy(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s, db := openStore(t, path, sqlite.Options{}), openSQL(t, path)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	joined := s.Join(tx)
	if n := count(t, joined, streamA); n != 0 {
		t.Errorf("%d events", n)
	}
	mustAppend(t, s, streamA, es.NoStream, noted())
	if _, err := joined.Append(t.Context(), streamA, es.Any, noted()); !errors.Is(err, es.ErrBusy) {
		t.Errorf("got error %v, want ErrBusy", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
}

// A function for after the commit may write: the lock is free again.
func TestAfterCommitMayWrite(t *testing.T) {
	t.Parallel()
	s := openStore(t, tempFile(t), sqlite.Options{})
	err := s.InTx(t.Context(), func(tx *sqlite.Tx) error {
		tx.AfterCommit(func() { mustAppend(t, s, streamA, es.Exact(1), noted()) })
		_, err := tx.Append(t.Context(), streamA, es.NoStream, noted())
		return err
	})
	if n := count(t, s, streamA); err != nil || n != 2 {
		t.Errorf("%d events, error %v", n, err)
	}
}

// Whoever waits longest is next: with many that come back at once, nobody waits in vain.
func TestWritersTakeTurns(t *testing.T) {
	t.Parallel()
	s := openStore(t, tempFile(t), sqlite.Options{})
	const writers, each = 8, 20
	var mu sync.Mutex
	var order []int
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for range each {
				err := s.InTx(t.Context(), func(*sqlite.Tx) error {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, w)
					<-time.After(time.Millisecond) // the others queue up meanwhile
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	last := map[int]int{}
	for i, w := range order {
		if before, ok := last[w]; ok && i-before > 2*writers {
			t.Errorf("writer %d waited for %d others", w, i-before-1)
		}
		last[w] = i
	}
}
