package estest

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

var repeatLaws = []law{
	{"an append repeated with its ids is recognised", testRepeat},
	{"an append repeated after later events is recognised", testRepeatLater},
	{"an append repeated with other ids is none", testRepeatOtherIDs},
	{"an append repeated in its transaction is recognised", testRepeatInTx},
	{"an append repeated while it is under way lands once", testRepeatConcurrently},
	{"without an expected version the last 100 events are searched", testRepeatWindow},
	{"events without ids get different ones", testDrawnIDs},
}

// modes returns each kind of expectation that fits a stream of one event.
func modes() map[string]es.Expected {
	return map[string]es.Expected{"exact": es.Exact(1), "any": es.Any, "exists": es.StreamExists}
}

func testRepeat(t *testing.T, b Backend) {
	first := numbered(1, 3)
	once := mustAppend(t, b.Store, stream, es.NoStream, first...)
	wantDuplicate(t, b.Store, stream, es.NoStream, once, first...)
	for name, expected := range modes() {
		t.Run(name, func(t *testing.T) {
			id := es.StreamID{Category: "law", Key: name}
			head, events := event(1), numbered(2, 3)
			mustAppend(t, b.Store, id, es.NoStream, head)
			once := mustAppend(t, b.Store, id, expected, events...)
			wantDuplicate(t, b.Store, id, expected, once, events...)
			wantIDs(t, b.Store, id, append([]es.EventData{head}, events...)...)
		})
	}
}

// wantDuplicate repeats an append and wants the result of the first time.
func wantDuplicate(t *testing.T, s es.Appender, id es.StreamID, expected es.Expected, once es.AppendResult, events ...es.EventData) {
	t.Helper()
	once.Duplicate = true
	if diff := cmp.Diff(once, mustAppend(t, s, id, expected, events...)); diff != "" {
		t.Errorf("result of the repeated append (-want +got):\n%s", diff)
	}
}

func testRepeatLater(t *testing.T, b Backend) {
	for name, expected := range modes() {
		t.Run(name, func(t *testing.T) {
			id := es.StreamID{Category: "law", Key: name}
			head, events, later := event(1), numbered(2, 3), numbered(5, 4)
			mustAppend(t, b.Store, id, es.NoStream, head)
			once := mustAppend(t, b.Store, id, expected, events...)
			mustAppend(t, b.Store, id, es.Exact(4), later...)
			wantDuplicate(t, b.Store, id, expected, once, events...)
			wantDuplicate(t, b.Store, id, es.NoStream, es.AppendResult{Version: 1, Position: once.Position - 3}, head)
			wantIDs(t, b.Store, id, append(append([]es.EventData{head}, events...), later...)...)
		})
	}
}

func testRepeatOtherIDs(t *testing.T, b Backend) {
	stored := numbered(1, 3)
	mustAppend(t, b.Store, stream, es.NoStream, stored...)
	for name, events := range map[string][]es.EventData{
		"all new":           numbered(1, 3),
		"last one new":      {stored[0], stored[1], event(3)},
		"first one new":     {event(1), stored[1], stored[2]},
		"other order":       {stored[1], stored[0], stored[2]},
		"other order later": {stored[0], stored[2], stored[1]},
		"one more":          {stored[0], stored[1], stored[2], event(4)},
		"at another place":  {stored[1], stored[2]},
	} {
		_, err := b.Store.Append(t.Context(), stream, es.NoStream, events...)
		if err == nil {
			t.Errorf("%s: recognised as a repeated append", name)
			continue
		}
		wantConflict(t, err, stream, es.NoStream, 3)
	}
	// The same ids on another stream are another append.
	if result := mustAppend(t, b.Store, other, es.Any, stored...); result.Duplicate {
		t.Error("the ids of one stream were recognised on another")
	}
	// A gap between the ids is not the append that is there.
	if result := mustAppend(t, b.Store, stream, es.Any, stored[0], stored[2]); result.Duplicate {
		t.Error("ids with another event in between were recognised as an append")
	}
}

func testRepeatInTx(t *testing.T, b Backend) {
	events := numbered(1, 2)
	err := b.InTx(t.Context(), func(tx es.Tx) error {
		once := mustAppend(t, tx, stream, es.NoStream, events...)
		wantDuplicate(t, tx, stream, es.NoStream, once, events...)
		wantDuplicate(t, tx, stream, es.Any, once, events...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantIDs(t, b.Store, stream, events...)
}

// A repetition that waits for the first one's lock must see what that one
// committed in the meantime.
func testRepeatConcurrently(t *testing.T, b Backend) {
	for name, expected := range map[string]es.Expected{"none": es.NoStream, "any": es.Any} {
		t.Run(name, func(t *testing.T) {
			for round := range 10 {
				id := es.StreamID{Category: "law", Key: name + string(rune('a'+round))}
				events := numbered(1, 2)
				var wrote atomic.Int32
				var all sync.WaitGroup
				for range 8 {
					all.Go(func() {
						result, err := b.Store.Append(t.Context(), id, expected, events...)
						if err != nil || result.Version != 2 {
							t.Errorf("append: %+v, %v", result, err)
						} else if !result.Duplicate {
							wrote.Add(1)
						}
					})
				}
				all.Wait()
				if n := wrote.Load(); n != 1 {
					t.Errorf("%d of 8 equal appends wrote", n)
				}
				wantIDs(t, b.Store, id, events...)
			}
		})
	}
}

func testRepeatWindow(t *testing.T, b Backend) {
	first := event(1)
	once := mustAppend(t, b.Store, stream, es.NoStream, first)
	mustAppend(t, b.Store, stream, es.Exact(1), numbered(2, 99)...)
	wantDuplicate(t, b.Store, stream, es.Any, once, first)

	mustAppend(t, b.Store, stream, es.Exact(100), event(101))
	if result := mustAppend(t, b.Store, stream, es.Any, first); result.Duplicate || result.Version != 102 {
		t.Errorf("an append 101 events back: %+v, want it written as version 102", result)
	}
	// A longer append is searched for in full.
	long := numbered(1, 250)
	once = mustAppend(t, b.Store, other, es.Any, long...)
	wantDuplicate(t, b.Store, other, es.Any, once, long...)
}

func testDrawnIDs(t *testing.T, b Backend) {
	e := event(1)
	e.ID = uuid.Nil
	events := []es.EventData{e, e}
	mustAppend(t, b.Store, stream, es.Any, events...)
	mustAppend(t, b.Store, stream, es.Any, e)
	seen := map[uuid.UUID]bool{}
	for _, rec := range read(t, b.Store, stream, es.ReadOptions{}) {
		if rec.ID.Version() != 7 || seen[rec.ID] {
			t.Errorf("id %v is not of version 7 or there twice", rec.ID)
		}
		seen[rec.ID] = true
	}
	if len(seen) != 3 || events[0].ID != uuid.Nil {
		t.Errorf("%d ids, want 3; the caller's event has id %v", len(seen), events[0].ID)
	}
}
