package estest

import (
	"errors"
	"fmt"
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
	{"an append is recognised whatever came in between", testRepeatAtAnyDistance},
	{"an id is in the log once", testIDOnce},
	{"an append with one id twice is refused", testIDTwiceInOne},
	{"events are found by their ids", testFindEvents},
	{"an append after an event that the log does not hold conflicts", testAfter},
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

func testRepeatAtAnyDistance(t *testing.T, b Backend) {
	first := event(1)
	once := mustAppend(t, b.Store, stream, es.NoStream, first)
	for v := 1; v < 1000; v += 333 {
		mustAppend(t, b.Store, stream, es.Exact(int64(v)), numbered(v+1, 333)...)
	}
	wantDuplicate(t, b.Store, stream, es.Any, once, first)
	wantDuplicate(t, b.Store, stream, es.StreamExists, once, first)
	wantDuplicate(t, b.Store, stream, es.NoStream, once, first)
	long := numbered(1, 250)
	once = mustAppend(t, b.Store, other, es.Any, long...)
	wantDuplicate(t, b.Store, other, es.Any, once, long...)
}

// What would bring an id into the log again is refused, alone and among others that
// are not to blame.
func testIDOnce(t *testing.T, b Backend) {
	stored := numbered(1, 3)
	mustAppend(t, b.Store, stream, es.NoStream, stored...)
	for name, c := range map[string]struct {
		stream   es.StreamID
		expected es.Expected
		events   []es.EventData
	}{
		"in another stream":                {other, es.Any, stored},
		"in a new stream":                  {es.StreamID{Category: "law", Key: "new"}, es.NoStream, stored[1:2]},
		"later in the same":                {stream, es.Exact(3), stored},
		"with a gap":                       {stream, es.Any, []es.EventData{stored[0], stored[2]}},
		"in another order":                 {stream, es.Any, []es.EventData{stored[1], stored[0], stored[2]}},
		"after a new event":                {stream, es.Any, []es.EventData{event(4), stored[2]}},
		"before a new event":               {stream, es.StreamExists, []es.EventData{stored[2], event(4)}},
		"with a new event in the middle":   {other, es.NoStream, []es.EventData{event(1), stored[1], event(2)}},
		"the last one at an exact version": {stream, es.Exact(3), stored[2:]},
	} {
		t.Run(name, func(t *testing.T) {
			if result, err := b.Store.Append(t.Context(), c.stream, c.expected, c.events...); !errors.Is(err, es.ErrDuplicateID) {
				t.Errorf("got %+v, %v, want ErrDuplicateID", result, err)
			}
			err := b.InTx(t.Context(), func(tx es.Tx) error {
				_, err := tx.Append(t.Context(), c.stream, c.expected, c.events...)
				return err
			})
			if !errors.Is(err, es.ErrDuplicateID) {
				t.Errorf("in a transaction: got %v, want ErrDuplicateID", err)
			}
		})
	}
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			id := es.StreamID{Category: "law", Key: fmt.Sprint("beside-", i)}
			events := numbered(1, 2)
			if i%4 == 0 {
				events[1] = stored[i%3]
			}
			_, err := b.Store.Append(t.Context(), id, es.NoStream, events...)
			if i%4 == 0 && !errors.Is(err, es.ErrDuplicateID) || i%4 != 0 && err != nil {
				t.Errorf("append %d of 16 at once: %v", i, err)
			}
		})
	}
	all.Wait()
	wantIDs(t, b.Store, stream, stored...)
	wantIDs(t, b.Store, other)
}

func testIDTwiceInOne(t *testing.T, b Backend) {
	e := event(1)
	for name, events := range map[string][]es.EventData{"both": {e, e}, "with another in between": {e, event(2), e}} {
		if result, err := b.Store.Append(t.Context(), stream, es.Any, events...); !errors.Is(err, es.ErrInvalidEvent) {
			t.Errorf("%s: got %+v, %v, want ErrInvalidEvent", name, result, err)
		}
	}
	wantIDs(t, b.Store, stream)
}

func testFindEvents(t *testing.T, b Backend) {
	events, later := numbered(1, 3), numbered(1, 2)
	events[1].Metadata = es.Metadata{CommandFingerprint: "f", Values: map[string]string{"a": "b"}}
	mustAppend(t, b.Store, stream, es.NoStream, events...)
	mustAppend(t, b.Store, other, es.NoStream, later...)
	var want []es.Recorded
	for rec, err := range b.Store.ReadAll(t.Context(), es.ReadAllOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if rec.ID == events[1].ID || rec.ID == later[0].ID {
			want = append(want, rec)
		}
	}
	find := func(s es.EventFinder, ids ...uuid.UUID) []es.Recorded {
		t.Helper()
		found, err := s.FindEvents(t.Context(), ids...)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if diff := cmp.Diff(want, find(b.Store, later[0].ID, uuid.New(), events[1].ID)); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	if found := find(b.Store); len(found) > 0 {
		t.Errorf("no ids found %d events", len(found))
	}
	// A transaction finds what it has written, nobody else does before the commit.
	e := event(4)
	err := b.InTx(t.Context(), func(tx es.Tx) error {
		mustAppend(t, tx, stream, es.Exact(3), e)
		if found := find(tx, e.ID); len(found) != 1 || found[0].Version != 4 {
			t.Errorf("in its transaction an event is found as %+v", found)
		}
		if found := find(b.Store, e.ID); len(found) > 0 {
			t.Errorf("an event is found before its commit")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A writer that names the event it has read is refused where the log holds another one of
// that version, as after a failover that has lost commits.
func testAfter(t *testing.T, b Backend) {
	for _, n := range []int{1, 2} {
		id := es.StreamID{Category: "law", Key: fmt.Sprint("after-", n)}
		stored := numbered(1, 2)
		mustAppend(t, b.Store, id, es.NoStream, stored...)
		lost := es.After(2, uuid.New())
		for _, events := range [][]es.EventData{nil, numbered(3, n)} {
			_, err := b.Store.Append(t.Context(), id, lost, events...)
			wantConflict(t, err, id, lost, 2)
			err = b.InTx(t.Context(), func(tx es.Tx) error {
				_, err := tx.Append(t.Context(), id, lost, events...)
				wantConflict(t, err, id, lost, 2)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		_, err := b.Store.Append(t.Context(), id, es.After(1, stored[0].ID), numbered(3, n)...)
		wantConflict(t, err, id, es.Exact(1), 2)

		added := numbered(3, n)
		once := mustAppend(t, b.Store, id, es.After(2, stored[1].ID), added...)
		wantDuplicate(t, b.Store, id, es.After(2, stored[1].ID), once, added...)
		last := added[n-1].ID
		mustAppend(t, b.Store, id, es.After(int64(2+n), last))
		next := event(4)
		mustAppend(t, b.Store, id, es.Any, next)
		mustAppend(t, b.Store, id, es.After(int64(3+n), next.ID), event(5))
	}
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
