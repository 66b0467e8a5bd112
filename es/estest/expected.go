package estest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/peatlog/peat/es"
)

var expectedLaws = []law{
	{"an append lands only at the expected version", testExpectedVersions},
	{"an expected version that is negative is refused", testNegativeVersion},
	{"an empty append checks and writes nothing", testEmptyAppend},
	{"concurrent appends at any version get contiguous versions", testParallelAny},
	{"of writers racing for a version exactly one wins", testRace},
	{"appends to different streams do not disturb each other", testParallelStreams},
}

// Rows B2, B3, B86: stale and future versions conflict alike, and the conflict
// carries the actual version.
func testExpectedVersions(t *testing.T, b Backend) {
	for _, c := range []struct {
		name     string
		has      int // events in the stream before
		expected es.Expected
		ok       bool
	}{
		{"no stream on a new stream", 0, es.NoStream, true},
		{"no stream on an existing one", 5, es.NoStream, false},
		{"the exact version", 5, es.Exact(5), true},
		{"a stale version", 5, es.Exact(4), false},
		{"a future version", 5, es.Exact(6), false},
		{"a version of a new stream", 0, es.Exact(1), false},
		{"an existing stream that exists", 5, es.StreamExists, true},
		{"an existing stream that does not", 0, es.StreamExists, false},
		{"anything on a new stream", 0, es.Any, true},
		{"anything on an existing one", 5, es.Any, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := es.StreamID{Category: "law", Key: c.name}
			before := numbered(1, c.has)
			if c.has > 0 {
				mustAppend(t, b.Store, id, es.NoStream, before...)
			}
			added := numbered(c.has+1, 2)
			result, err := b.Store.Append(t.Context(), id, c.expected, added...)
			if !c.ok {
				wantConflict(t, err, id, c.expected, int64(c.has))
				wantIDs(t, b.Store, id, before...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := int64(c.has + 2); result.Version != want || result.Duplicate {
				t.Errorf("result %+v, want version %d and no duplicate", result, want)
			}
			wantIDs(t, b.Store, id, append(before, added...)...)
			all := read(t, b.Store, id, es.ReadOptions{})
			if last := all[len(all)-1].Position; result.Position != last {
				t.Errorf("result has position %d, the last event %d", result.Position, last)
			}
		})
	}
}

func testNegativeVersion(t *testing.T, b Backend) {
	for _, version := range []int64{-1, -2, -3, -1 << 63} {
		if _, err := b.Store.Append(t.Context(), stream, es.Exact(version), event(1)); !errors.Is(err, es.ErrInvalidEvent) {
			t.Errorf("Exact(%d): got error %v, want ErrInvalidEvent", version, err)
		}
	}
	wantIDs(t, b.Store, stream)
}

// Rows B25, B44.
func testEmptyAppend(t *testing.T, b Backend) {
	if result := mustAppend(t, b.Store, stream, es.Any); result != (es.AppendResult{}) {
		t.Errorf("empty append to a new stream: %+v", result)
	}
	mustAppend(t, b.Store, stream, es.NoStream)
	_, err := b.Store.Append(t.Context(), stream, es.StreamExists)
	wantConflict(t, err, stream, es.StreamExists, 0)

	e := event(1)
	mustAppend(t, b.Store, stream, es.NoStream, e)
	if result := mustAppend(t, b.Store, stream, es.Exact(1)); result.Version != 1 {
		t.Errorf("empty append: version %d, want 1", result.Version)
	}
	for _, stale := range []es.Expected{es.Exact(0), es.Exact(2)} {
		_, err = b.Store.Append(t.Context(), stream, stale)
		wantConflict(t, err, stream, stale, 1)
	}
	err = b.InTx(t.Context(), func(tx es.Tx) error {
		if result := mustAppend(t, tx, stream, es.Exact(1)); result.Version != 1 {
			t.Errorf("empty append in a transaction: version %d, want 1", result.Version)
		}
		_, err := tx.Append(t.Context(), stream, es.NoStream)
		wantConflict(t, err, stream, es.NoStream, 1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantIDs(t, b.Store, stream, e)
}

// Row B4.
func testParallelAny(t *testing.T, b Backend) {
	const writers = 100
	versions := make([]bool, writers+1)
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			result, err := b.Store.Append(t.Context(), stream, es.Any, event(i))
			if err != nil {
				t.Errorf("append: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if result.Version < 1 || result.Version > writers || versions[result.Version] {
				t.Errorf("version %d is out of range or was given twice", result.Version)
				return
			}
			versions[result.Version] = true
		})
	}
	all.Wait()
	if n := len(read(t, b.Store, stream, es.ReadOptions{})); n != writers {
		t.Errorf("%d events, want %d", n, writers)
	}
}

// Row B5: 16 writers, 4 wins each; whoever does not win gets a conflict and
// nothing else.
func testRace(t *testing.T, b Backend) {
	const writers, wins = 16, 4
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			version := int64(0)
			for won := 0; won < wins; {
				result, err := b.Store.Append(t.Context(), stream, es.Exact(version), event(won))
				if conflict, ok := errors.AsType[*es.ConflictError](err); ok {
					if conflict.Actual <= version {
						t.Errorf("conflict at version %d names the actual version %d", version, conflict.Actual)
						return
					}
					version = conflict.Actual
					continue
				}
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				if result.Version != version+1 {
					t.Errorf("an append expecting version %d landed as version %d", version, result.Version)
				}
				version = result.Version
				won++
			}
		})
	}
	all.Wait()
	if n := len(read(t, b.Store, stream, es.ReadOptions{})); n != writers*wins {
		t.Errorf("%d events, want %d", n, writers*wins)
	}
}

func testParallelStreams(t *testing.T, b Backend) {
	const streams, events = 16, 10
	var all sync.WaitGroup
	for i := range streams {
		all.Go(func() {
			id := es.StreamID{Category: "law", Key: string(rune('a' + i))}
			for v := range int64(events) {
				if _, err := b.Store.Append(context.WithoutCancel(t.Context()), id, es.Exact(v), event(int(v))); err != nil {
					t.Errorf("append %d to %s: %v", v+1, id, err)
				}
			}
		})
	}
	all.Wait()
	for i := range streams {
		id := es.StreamID{Category: "law", Key: string(rune('a' + i))}
		if n := len(read(t, b.Store, id, es.ReadOptions{})); n != events {
			t.Errorf("%s has %d events, want %d", id, n, events)
		}
	}
}
