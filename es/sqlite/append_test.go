package sqlite_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
)

// commits counts the commits in a write-ahead log of pages of 4 kB: the frames that
// tell the size of the database.
func commits(t *testing.T, path string) int {
	t.Helper()
	wal, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	const header, frameHeader, pageSize = 32, 24, 4096
	n := 0
	for frame := wal[header:]; len(frame) >= frameHeader+pageSize; frame = frame[frameHeader+pageSize:] {
		if binary.BigEndian.Uint32(frame[4:]) != 0 {
			n++
		}
	}
	return n
}

// Cost P23. A conflict among them costs nobody a commit of his own.
func TestConcurrentAppendsShareACommit(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s := openStore(t, path, sqlite.Options{})
	before := commits(t, path)
	const writers = 60
	var coming, all sync.WaitGroup
	holdLock(t, s, func() {
		coming.Add(writers)
		for i := range writers {
			all.Go(func() {
				coming.Done()
				expected := es.Exact(int64(i % 2))
				_, err := s.Append(t.Context(), es.StreamID{Category: "test", Key: strconv.Itoa(i)}, expected, noted())
				if errors.Is(err, es.ErrConflict) != (i%2 == 1) {
					t.Errorf("append expecting %v to a new stream: %v", expected, err)
				}
			})
		}
		coming.Wait()
	})
	all.Wait()
	if n := commits(t, path) - before; n > writers/4 {
		t.Errorf("%d appends that waited together took %d commits", writers/2, n)
	}
}

func TestOneCallersErrorFailsNobodyElse(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s := openStore(t, path, sqlite.Options{})
	refuseBad(t, path)
	const writers, each = 8, 20
	var good atomic.Int64
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for n := range each {
				events := []es.EventData{noted(), noted()}
				refused := (i+n)%4 == 0
				if refused {
					events[1] = bad()
				}
				_, err := s.Append(t.Context(), streamA, es.Any, events...)
				if !refused {
					good.Add(2)
				}
				if refused != (err != nil) || err != nil && !strings.Contains(err.Error(), "refused by the trigger") {
					t.Errorf("refused %v, error %v", refused, err)
				}
			}
		})
	}
	all.Wait()
	if n := count(t, s, streamA); int64(n) != good.Load() {
		t.Errorf("%d events, want %d", n, good.Load())
	}
}

// The events of an append go in by chunks and one by one.
func TestAppendOfAnyLengthIsWhole(t *testing.T) {
	t.Parallel()
	s := openStore(t, tempFile(t), sqlite.Options{})
	last := int64(0)
	for n := 1; n <= 100; n++ {
		events := make([]es.EventData, n)
		for i := range events {
			events[i] = es.EventData{Type: "test.noted", Data: fmt.Appendf(nil, "[%d]", i+1)}
		}
		id := es.StreamID{Category: "test", Key: strconv.Itoa(n)}
		result := mustAppend(t, s, id, es.NoStream, events...)
		if want := (es.AppendResult{Version: int64(n), Position: last + int64(n)}); result != want {
			t.Errorf("append of %d events: %+v, want %+v", n, result, want)
		}
		for rec, err := range s.ReadStream(t.Context(), id, es.ReadOptions{}) {
			if err != nil || string(rec.Data) != fmt.Sprintf("[%d]", rec.Version) || rec.Position != last+rec.Version {
				t.Fatalf("append of %d events: version %d at %d has %s, error %v", n, rec.Version, rec.Position, rec.Data, err)
			}
		}
		last = result.Position
	}
}

// What is left of a damaged stream is not taken for an append without the part
// that is missing.
func TestEventsAroundAHoleAreNoAppend(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s := openStore(t, path, sqlite.Options{})
	events := []es.EventData{noted(), noted(), noted()}
	for i := range events {
		events[i].ID = uuid.New()
	}
	mustAppend(t, s, streamA, es.NoStream, events...)
	execSQL(t, openSQL(t, path), "DELETE FROM peat_events WHERE stream_version = 2")
	if result, err := s.Append(t.Context(), streamA, es.Any, events[0], events[2]); !errors.Is(err, es.ErrDuplicateID) {
		t.Errorf("found as %+v, %v; want ErrDuplicateID", result, err)
	}
}

// Row B87: whoever waits longer than BusyTimeout for the lock, be it held in this
// store or by somebody else, learns that it may try again.
func TestWriteLockTimeoutIsReportedAsBusy(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	opts := sqlite.Options{BusyTimeout: 200 * time.Millisecond}
	s, other := openStore(t, path, opts), openStore(t, path, opts)
	for name, waiting := range map[string]*sqlite.Store{"this store": s, "another one": other} {
		write := map[string]func() error{
			"append":      func() error { _, err := waiting.Append(t.Context(), streamA, es.Any, noted()); return err },
			"transaction": func() error { return waiting.InTx(t.Context(), func(*sqlite.Tx) error { return nil }) },
			"snapshot":    func() error { return waiting.WriteSnapshot(t.Context(), es.Snapshot{Stream: streamA, Version: 1}) },
		}
		holdLock(t, s, func() {
			for call, f := range write {
				if err := f(); !errors.Is(err, es.ErrBusy) {
					t.Errorf("%s in %s: got error %v, want ErrBusy", call, name, err)
				}
			}
		})
		for call, f := range write {
			if err := f(); err != nil {
				t.Errorf("%s in %s, with the lock free: %v", call, name, err)
			}
		}
	}
	if n := count(t, s, streamA); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}

// Wherever the lock is held, who waits for it can be called off at once.
func TestCancelledWaitIsWithdrawn(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	opts := sqlite.Options{BusyTimeout: time.Hour}
	s, other := openStore(t, path, opts), openStore(t, path, opts)
	for _, waiting := range []*sqlite.Store{s, other} {
		write := map[string]func(ctx context.Context) error{
			"append":      func(ctx context.Context) error { _, err := waiting.Append(ctx, streamA, es.Any, noted()); return err },
			"transaction": func(ctx context.Context) error { return waiting.InTx(ctx, func(*sqlite.Tx) error { return nil }) },
		}
		for name, f := range write {
			holdLock(t, s, func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				var all sync.WaitGroup
				for range 4 {
					all.Go(func() {
						if err := f(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, es.ErrBusy) {
							t.Errorf("%s: got error %v, want the context's", name, err)
						}
					})
				}
				all.Wait()
			})
		}
		mustAppend(t, waiting, streamB, es.Any, noted())
	}
	if n := count(t, s, streamA); n != 0 {
		t.Errorf("%d events of cancelled appends", n)
	}
}

// The caller that leads a batch may be called off like any other; the batch goes on.
func TestCancelledAppendsDisturbNoOther(t *testing.T) {
	t.Parallel()
	s := openStore(t, tempFile(t), sqlite.Options{})
	var landed atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 30 {
				ctx, cancel := context.WithCancel(t.Context())
				if i%2 == 0 {
					time.AfterFunc(time.Duration(rand.IntN(1000))*time.Microsecond, cancel)
				}
				_, err := s.Append(ctx, streamA, es.Any, noted())
				cancel()
				switch {
				case err == nil:
					landed.Add(1)
				case i%2 == 1 || !errors.Is(err, context.Canceled) || errors.Is(err, es.ErrOutcomeUnknown):
					t.Errorf("append %d: %v", n, err)
				}
			}
		})
	}
	all.Wait()
	if n := count(t, s, streamA); int64(n) != landed.Load() {
		t.Errorf("%d events, but %d appends succeeded", n, landed.Load())
	}
}

// Cost P23.
func TestEmptyAppendTakesNoLock(t *testing.T) {
	t.Parallel()
	s := openStore(t, tempFile(t), sqlite.Options{BusyTimeout: time.Hour})
	mustAppend(t, s, streamA, es.NoStream, noted())
	holdLock(t, s, func() {
		if result := mustAppend(t, s, streamA, es.StreamExists); result.Version != 1 {
			t.Errorf("version %d, want 1", result.Version)
		}
	})
}

// Row B89: a reader that goes on from the last position it saw misses nothing.
func TestPositionsBecomeVisibleInOrder(t *testing.T) {
	t.Parallel()
	s := openStore(t, tempFile(t), sqlite.Options{})
	const writers, each = 4, 25
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for range each {
				if _, err := s.Append(t.Context(), es.StreamID{Category: "test", Key: strconv.Itoa(i)}, es.Any, noted(), noted()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { all.Wait(); close(written) }()
	seen, last := 0, int64(0)
	for finished := false; !finished; {
		select {
		case <-written:
			finished = true // but read once more
		default:
		}
		for rec, err := range s.ReadAll(t.Context(), es.ReadAllOptions{From: last + 1}) {
			if err != nil {
				t.Fatal(err)
			}
			seen, last = seen+1, rec.Position
		}
	}
	if seen != 2*writers*each {
		t.Errorf("saw %d of %d events", seen, 2*writers*each)
	}
}
