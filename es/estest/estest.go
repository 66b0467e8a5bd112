// Package estest is the contract of a store as one suite of tests.
//
// A store passes when [Run] passes. Each law is a test of its own, on a log of
// its own; where it stands for a row of the project's contract table
// (docs/contract.md), its comment names the row.
package estest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

// MaxEventBytes is the size limit that a [Backend] sets: large enough for the
// payloads of the suite, small enough to go over.
const MaxEventBytes = 256 << 10

// Store is all that a store offers outside of transactions.
type Store interface {
	es.Store
	es.Feed
	es.Checkpointer
	es.Monitor
	es.Coordinator
	es.ParkingLot
	es.GenerationStore
}

// Backend is one log with what the suite needs to do to it.
type Backend struct {
	Store Store
	// InTx runs f in a transaction of the store.
	InTx func(ctx context.Context, f func(tx es.Tx) error) error
	// Reopen migrates and opens the same log once more.
	Reopen func(ctx context.Context) (es.Store, error)
	// DeleteEvent removes one event behind the store's back.
	DeleteEvent func(ctx context.Context, stream es.StreamID, version int64) error
	// Deliver and TakeOver are those of the store's [es.Transactor], with the store
	// joined to its transaction. The f of TakeOver is nil if this one is.
	Deliver  func(ctx context.Context, f func(tx es.Tx) error, p es.Progress) error
	TakeOver func(ctx context.Context, t es.TakeOver, f func(tx es.Tx) error) (bool, error)
	// Forget deletes the row of a subscription behind the store's back, and leaves
	// what it has parked.
	Forget func(ctx context.Context, subscription string) error
}

// law is one rule that every store holds.
type law struct {
	name string
	test func(t *testing.T, b Backend)
}

// Run tests the laws, each against a new and empty backend whose events are
// limited to [MaxEventBytes].
func Run(t *testing.T, newBackend func(t *testing.T) Backend) {
	for _, laws := range [][]law{
		expectedLaws, atomicLaws, repeatLaws, payloadLaws, readLaws, txLaws, damageLaws, snapshotLaws, feedLaws,
		progressLaws, deliverLaws, parkingLaws, sessionLaws, monitorLaws, generationLaws,
	} {
		for _, l := range laws {
			t.Run(l.name, func(t *testing.T) {
				t.Parallel()
				l.test(t, newBackend(t))
			})
		}
	}
}

// stream is where a law appends if it needs one stream.
var stream = es.StreamID{Category: "law", Key: "a-1"}

// other is a second stream, of another category.
var other = es.StreamID{Category: "other", Key: "1"}

// event returns an event with an id of its own and n as its payload.
func event(n int) es.EventData {
	return es.EventData{ID: uuid.Must(uuid.NewV7()), Type: "law.noted", Data: fmt.Appendf(nil, `{"n": %d}`, n)}
}

// numbered returns n events with the payloads from, from+1, ….
func numbered(from, n int) []es.EventData {
	events := make([]es.EventData, n)
	for i := range events {
		events[i] = event(from + i)
	}
	return events
}

func mustAppend(t *testing.T, s es.Appender, id es.StreamID, expected es.Expected, events ...es.EventData) es.AppendResult {
	t.Helper()
	result, err := s.Append(t.Context(), id, expected, events...)
	if err != nil {
		t.Fatalf("append to %s expecting %v: %v", id, expected, err)
	}
	return result
}

// read returns what ReadStream yields.
func read(t *testing.T, s es.StreamReader, id es.StreamID, opts es.ReadOptions) []es.Recorded {
	t.Helper()
	var all []es.Recorded
	for rec, err := range s.ReadStream(t.Context(), id, opts) {
		if err != nil {
			t.Fatalf("read %s: %v", id, err)
		}
		all = append(all, rec)
	}
	return all
}

// wantIDs checks that the stream holds exactly these events, at the versions 1 to n.
func wantIDs(t *testing.T, s es.StreamReader, id es.StreamID, events ...es.EventData) {
	t.Helper()
	want := make([]uuid.UUID, len(events))
	for i, e := range events {
		want[i] = e.ID
	}
	got := make([]uuid.UUID, 0, len(events))
	for i, rec := range read(t, s, id, es.ReadOptions{}) {
		if rec.Version != int64(i+1) {
			t.Errorf("%s: event %d has version %d", id, i+1, rec.Version)
		}
		got = append(got, rec.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events of %s (-want +got):\n%s", id, diff)
	}
}

// wantConflict checks that err is a conflict with these operands.
func wantConflict(t *testing.T, err error, id es.StreamID, expected es.Expected, actual int64) {
	t.Helper()
	conflict, ok := errors.AsType[*es.ConflictError](err)
	if !ok || !errors.Is(err, es.ErrConflict) {
		t.Fatalf("append to %s expecting %v: got error %v, want a conflict", id, expected, err)
	}
	if diff := cmp.Diff(es.ConflictError{Stream: id, Expected: expected, Actual: actual}, *conflict); diff != "" {
		t.Errorf("conflict (-want +got):\n%s", diff)
	}
}

// number reads the payload of event.
func number(t *testing.T, rec es.Recorded) int {
	t.Helper()
	var payload struct{ N int }
	if err := json.Unmarshal(rec.Data, &payload); err != nil {
		t.Fatalf("payload %q: %v", rec.Data, err)
	}
	return payload.N
}
