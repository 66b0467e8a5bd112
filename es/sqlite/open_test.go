package sqlite_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
)

// Row B90.
func TestOpenUsesWALAndFullSyncByDefault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		opts sqlite.Options
		want map[string]string
	}{
		{sqlite.Options{}, map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"}},
		{sqlite.Options{Relaxed: true, BusyTimeout: time.Minute}, map[string]string{"journal_mode": "wal", "synchronous": "1", "busy_timeout": "60000"}},
	} {
		s := openStore(t, tempFile(t), c.opts)
		for name, want := range c.want {
			if got := pragma(t, s, name); got != want {
				t.Errorf("%+v: %s is %s, want %s", c.opts, name, got, want)
			}
		}
	}
}

// Row B93 among others.
func TestOptionsReportAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := sqlite.Open(t.Context(), "", sqlite.Options{MaxEventBytes: -1, BusyTimeout: time.Microsecond, Readers: -1})
	for _, want := range []string{"MaxEventBytes", "BusyTimeout", "Readers", "path is empty"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %q in it", err, want)
		}
	}
}

func TestOpenRefusesWhatIsNoPlaceForADatabase(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	text := filepath.Join(folder, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path string
		is   error
		says string
	}{
		"another kind of file": {text, sqlite.ErrNotDatabase, text},
		"a missing folder":     {filepath.Join(folder, "missing", "test.db"), os.ErrNotExist, "folder"},
		"a folder":             {folder, nil, "not a regular file"},
		"a URI":                {"file:" + text + "?mode=ro", nil, "URI"},
	} {
		_, err := sqlite.Open(t.Context(), c.path, sqlite.Options{})
		if err == nil || !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: got error %v, want %q in it and %v", name, err, c.says, c.is)
		}
	}
	if content, err := os.ReadFile(text); err != nil || !strings.HasPrefix(string(content), "no database") {
		t.Errorf("the file was changed: %.20q, %v", content, err)
	}
}

func TestAnyFileNameWorks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "žofie 100%25 a?b#c&d=e.db")
	s := openStore(t, path, sqlite.Options{})
	mustAppend(t, s, streamA, es.NoStream, noted())
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// Row B85.
func TestStateSurvivesReopen(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	for n := range 3 {
		s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, s, streamA, es.Exact(int64(n)), noted())
		if got := count(t, s, streamA); got != n+1 {
			t.Errorf("%d events, want %d", got, n+1)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path + "-wal"); !os.IsNotExist(err) {
			t.Errorf("Close leaves the write-ahead log behind: %v", err)
		}
	}
}

// Row B85: a file that does not exist yet is created by many at once.
func TestOpenAtOnceByManyMigratesOnce(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := s.Append(t.Context(), es.StreamID{Category: "test", Key: strconv.Itoa(i)}, es.NoStream, noted()); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	n := 0
	if err := openSQL(t, path).QueryRow("SELECT count(*) FROM peat_migrations").Scan(&n); err != nil || n != 3 {
		t.Errorf("%d migrations recorded, want 3; error %v", n, err)
	}
}

func TestSchemaOfAnotherProgramIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change string
		want   error
	}{
		"newer":  {"INSERT INTO peat_migrations (version, name, checksum, applied_at) VALUES (9999, '9999_future', 'x', 0)", sqlite.ErrSchemaNewer},
		"edited": {"UPDATE peat_migrations SET checksum = 'x' WHERE version = 1", sqlite.ErrMigrationEdited},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := tempFile(t)
			openStore(t, path, sqlite.Options{})
			execSQL(t, openSQL(t, path), c.change)
			if _, err := sqlite.Open(t.Context(), path, sqlite.Options{}); !errors.Is(err, c.want) {
				t.Errorf("got error %v, want %v", err, c.want)
			}
		})
	}
}

// Cost P16: a file that is up to date is only read, so a long transaction does
// not delay the start of a process.
func TestOpenOfAMigratedFileTakesNoLock(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s := openStore(t, path, sqlite.Options{})
	holdLock(t, s, func() { openStore(t, path, sqlite.Options{BusyTimeout: 200 * time.Millisecond}) })
}

func TestFileOpenedTwiceIsOneLog(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	one, two := openStore(t, path, sqlite.Options{}), openStore(t, path, sqlite.Options{})
	mustAppend(t, one, streamA, es.NoStream, noted())
	mustAppend(t, two, streamA, es.Exact(1), noted())
	if n := count(t, one, streamA); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}

// Row B94.
func TestMemoryStoreSharesOneDatabaseAcrossConnections(t *testing.T) {
	t.Parallel()
	s, other := openStore(t, ":memory:", sqlite.Options{Readers: 4}), openStore(t, ":memory:", sqlite.Options{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 25 {
				if _, err := s.Append(t.Context(), streamA, es.Any, noted()); err != nil {
					t.Error(err)
				}
				if n := count(t, s, streamA); n == 0 {
					t.Error("an append is not seen")
				}
			}
		})
	}
	all.Wait()
	if here, there := count(t, s, streamA), count(t, other, streamA); here != 100 || there != 0 {
		t.Errorf("%d events, and %d in another store; want 100 and 0", here, there)
	}
}

func TestMemoryStoreLeavesNothingBehind(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	t.Setenv("TMP", temp)
	s, err := sqlite.Open(t.Context(), ":memory:", sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, streamA, es.NoStream, noted())
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, error %v", left, err)
	}
}

func TestCallsAfterCloseSayClosed(t *testing.T) {
	t.Parallel()
	s := openStore(t, tempFile(t), sqlite.Options{})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	calls := map[string]func() error{
		"append":         func() error { _, err := s.Append(t.Context(), streamA, es.Any, noted()); return err },
		"empty append":   func() error { _, err := s.Append(t.Context(), streamA, es.Any); return err },
		"transaction":    func() error { return s.InTx(t.Context(), func(*sqlite.Tx) error { return nil }) },
		"snapshot":       func() error { _, _, err := s.ReadSnapshot(t.Context(), streamA); return err },
		"write snapshot": func() error { return s.WriteSnapshot(t.Context(), es.Snapshot{Stream: streamA, Version: 1}) },
		"load":           func() error { _, _, err := s.LoadCheckpoint(t.Context(), "s"); return err },
		"claim":          func() error { _, _, err := s.ClaimCheckpoint(t.Context(), "s", ""); return err },
		"save":           func() error { return s.SaveProgress(t.Context(), es.Progress{Subscription: "s"}) },
		"readers":        func() error { _, err := s.Readers(t.Context(), "s"); return err },
		"lag":            func() error { _, err := s.Lag(t.Context(), "", es.FeedOptions{}); return err },
		"parked":         func() error { _, err := s.Parked(t.Context(), "s"); return err },
		"generations":    func() error { _, err := s.Generations(t.Context(), "p", 1); return err },
		"deliver": func() error {
			return s.Deliver(t.Context(), func(*sql.Tx) error { return nil }, es.Progress{Subscription: "s"})
		},
		"read": func() (err error) {
			for _, err = range s.ReadStream(t.Context(), streamA, es.ReadOptions{}) {
			}
			return err
		},
		"read all": func() (err error) {
			for _, err = range s.ReadAll(t.Context(), es.ReadAllOptions{}) {
			}
			return err
		},
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, sqlite.ErrClosed) {
			t.Errorf("%s: got error %v, want ErrClosed", name, err)
		}
	}
}

// Close waits for what is being written, and tells those who still wait.
func TestCloseWaitsForTheTransaction(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s := openStore(t, path, sqlite.Options{})
	var all sync.WaitGroup
	err := s.InTx(t.Context(), func(tx *sqlite.Tx) error {
		for range 8 {
			all.Go(func() {
				err := s.InTx(t.Context(), func(*sqlite.Tx) error { return nil })
				if err != nil && !errors.Is(err, sqlite.ErrClosed) {
					t.Errorf("a transaction that waits: got error %v, want ErrClosed", err)
				}
			})
		}
		all.Go(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			n := 0
			if err := openSQL(t, path).QueryRow("SELECT count(*) FROM peat_events").Scan(&n); err != nil || n != 1 {
				t.Errorf("%d events when Close returns, want 1; error %v", n, err)
			}
		})
		err := error(nil)
		for !errors.Is(err, sqlite.ErrClosed) { // Close is under way
			_, err = s.Append(t.Context(), streamB, es.Any)
		}
		_, err = tx.Append(t.Context(), streamA, es.NoStream, noted())
		return err
	})
	all.Wait()
	if err != nil {
		t.Error(err)
	}
}
