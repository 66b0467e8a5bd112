package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite" // registers the driver for handles of the tests' own

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
)

// childVariable makes the test binary run as a child process of a test.
const childVariable = "PEAT_SQLITE_TEST_CHILD"

func TestMain(m *testing.M) {
	if child := os.Getenv(childVariable); child != "" {
		if err := runChild(context.Background(), child, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

var (
	streamA = es.StreamID{Category: "test", Key: "a"}
	streamB = es.StreamID{Category: "test", Key: "b"}
)

func noted() es.EventData { return es.EventData{Type: "test.noted", Data: []byte(`{}`)} }

// bad is an event that the trigger of [refuseBad] refuses.
func bad() es.EventData { return es.EventData{Type: "test.bad", Data: []byte(`{}`)} }

func tempFile(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "test.db")
}

func openStore(t testing.TB, path string, opts sqlite.Options) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// openSQL returns a handle of the test's own to the file.
func openSQL(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func execSQL(t testing.TB, db interface {
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
}, text string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), text, args...); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// refuseBad makes the file refuse events of the type of [bad].
func refuseBad(t testing.TB, path string) {
	t.Helper()
	execSQL(t, openSQL(t, path), `CREATE TRIGGER refuse_bad BEFORE INSERT ON peat_events
		WHEN NEW.event_type = 'test.bad' BEGIN SELECT RAISE(ABORT, 'refused by the trigger'); END`)
}

func mustAppend(t testing.TB, s es.Appender, id es.StreamID, expected es.Expected, events ...es.EventData) es.AppendResult {
	t.Helper()
	result, err := s.Append(t.Context(), id, expected, events...)
	if err != nil {
		t.Fatalf("append to %s expecting %v: %v", id, expected, err)
	}
	return result
}

// count reads the stream, which also checks it for holes.
func count(t testing.TB, s es.StreamReader, stream es.StreamID) int {
	t.Helper()
	n := 0
	for _, err := range s.ReadStream(t.Context(), stream, es.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// pragma reads a setting of the connection that writes.
func pragma(t testing.TB, s *sqlite.Store, name string) (value string) {
	t.Helper()
	err := s.InTx(t.Context(), func(tx *sqlite.Tx) error {
		return tx.SQL().QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&value)
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// holdLock runs f while another goroutine holds the store's write lock.
func holdLock(t testing.TB, s *sqlite.Store, f func()) {
	t.Helper()
	locked, done := make(chan struct{}), make(chan struct{})
	held := make(chan error, 1)
	go func() {
		held <- s.InTx(t.Context(), func(*sqlite.Tx) error {
			close(locked)
			<-done
			return nil
		})
	}()
	<-locked
	f()
	close(done)
	if err := <-held; err != nil {
		t.Fatal(err)
	}
}
