package estest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/peatlog/peat/es"
)

var deliverLaws = []law{
	{"a handler's writes and its progress commit together", testDeliver},
	{"of a handler that fails or panics nothing takes effect", testDeliverFails},
	{"of a handler that was overtaken nothing takes effect", testDeliverStale},
	{"of handlers at once under one revision one takes effect", testDeliverRace},
}

// parkOne is progress that changes all that progress can change: it parks the second
// event of a log and takes back the first.
func parkOne(t *testing.T, b Backend) (p es.Progress, before []es.Failure) {
	t.Helper()
	mustAppend(t, b.Store, stream, es.NoStream, numbered(1, 2)...)
	recs := read(t, b.Store, stream, es.ReadOptions{})
	mustSave(t, b, es.Progress{Subscription: "s", Checkpoint: `{"v":1}`, Park: failures(recs[0])})
	return es.Progress{
		Subscription: "s", Revision: 1, Checkpoint: `{"v":2}`, Park: failures(recs[1]), Unpark: []int64{recs[0].Position},
	}, failures(recs[0])
}

func testDeliver(t *testing.T, b Backend) {
	p, _ := parkOne(t, b)
	e := event(1)
	err := b.Deliver(t.Context(), func(tx es.Tx) error {
		mustAppend(t, tx, other, es.NoStream, e)
		wantIDs(t, b.Store, other) // not before the commit
		wantCheckpoint(t, b.Store, "s", `{"v":1}`, 1)
		return nil
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	wantIDs(t, b.Store, other, e)
	wantCheckpoint(t, b.Store, "s", `{"v":2}`, 2)
	wantParked(t, b, p.Park, "s")
}

func testDeliverFails(t *testing.T, b Backend) {
	p, before := parkOne(t, b)
	err := b.Deliver(t.Context(), func(tx es.Tx) error {
		mustAppend(t, tx, other, es.NoStream, event(1))
		return errRefused
	}, p)
	if err != errRefused { //nolint:errorlint // it must come back as it is
		t.Errorf("got error %v, want the handler's own", err)
	}
	func() {
		defer func() {
			if p := recover(); p != any(errRefused) {
				t.Errorf("recovered %v, want the handler's own panic", p)
			}
		}()
		_ = b.Deliver(t.Context(), func(tx es.Tx) error {
			mustAppend(t, tx, other, es.NoStream, event(1))
			panic(errRefused)
		}, p)
	}()
	wantIDs(t, b.Store, other)
	wantCheckpoint(t, b.Store, "s", `{"v":1}`, 1)
	wantParked(t, b, before, "s")
	if err := b.Deliver(t.Context(), func(es.Tx) error { return nil }, p); err != nil { // no lock is left
		t.Error(err)
	}
}

func testDeliverStale(t *testing.T, b Backend) {
	p, before := parkOne(t, b)
	_, claimed := mustClaim(t, b, "s")
	err := b.Deliver(t.Context(), func(tx es.Tx) error {
		mustAppend(t, tx, other, es.NoStream, event(1))
		return nil
	}, p)
	wantStale(t, err, "s", p.Revision)
	wantIDs(t, b.Store, other)
	wantCheckpoint(t, b.Store, "s", `{"v":1}`, claimed)
	wantParked(t, b, before, "s")
}

func testDeliverRace(t *testing.T, b Backend) {
	_, revision := mustClaim(t, b, "s")
	var all sync.WaitGroup
	var took atomic.Int32
	for n := range 8 {
		all.Go(func() {
			err := b.Deliver(t.Context(), func(tx es.Tx) error {
				_, err := tx.Append(t.Context(), es.StreamID{Category: "law", Key: string(rune('a' + n))}, es.NoStream, event(n))
				return err
			}, es.Progress{Subscription: "s", Revision: revision, Checkpoint: `{"v":1}`})
			if err == nil {
				took.Add(1)
			} else if !errors.Is(err, es.ErrStaleCheckpoint) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(readAll(t, b.Store, es.ReadAllOptions{})); n != 1 || took.Load() != 1 {
		t.Errorf("%d handlers took effect, %d events; want 1", took.Load(), n)
	}
	wantCheckpoint(t, b.Store, "s", `{"v":1}`, revision+1)
}
