package aggregate_test

import (
	"context"
	"errors"
	"testing"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
)

// The aggregate of these tests adds up.
type event interface {
	es.Event
	isSumEvent()
}

type added struct{ N int }
type cleared struct{}
type stranger struct{} // an event that is in no union

func (added) EventType() string    { return "sum.added" }
func (cleared) EventType() string  { return "sum.cleared" }
func (stranger) EventType() string { return "sum.stranger" }
func (added) isSumEvent()          {}
func (cleared) isSumEvent()        {}
func (stranger) isSumEvent()       {}

type sum struct{ Total, Events int }

func (s *sum) Apply(e event) {
	s.Events++
	switch e := e.(type) {
	case added:
		s.Total += e.N
	case cleared:
		s.Total = 0
	}
}

var errTooMuch = errors.New("too much")

// add is a decision.
func (s *sum) add(n int) ([]event, error) {
	if n > 100 {
		return nil, errTooMuch
	}
	return []event{added{n}}, nil
}

func adding(n int) func(*sum) ([]event, error) {
	return func(s *sum) ([]event, error) { return s.add(n) }
}

var events = codec.NewUnion(
	codec.Case(func(e added) event { return e }),
	codec.Case(func(e cleared) event { return e }),
)

func newSum() *sum { return new(sum) }

var sums = aggregate.Define("sum", events, newSum)

type (
	repository = aggregate.Repository[*sum, event]
	root       = aggregate.Root[*sum, event]
)

func newRepository(store aggregate.Store) *repository { return aggregate.NewRepository(store, sums) }

var stream = es.StreamID{Category: "sum", Key: "1"}

// mustSave records and saves on a fresh load.
func mustSave(t *testing.T, repo *repository, record ...event) *root {
	t.Helper()
	r, err := repo.LoadOrNew(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	r.Record(record...)
	if err := repo.Save(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r
}

func wantRoot(t *testing.T, r *root, version int64, total int) {
	t.Helper()
	if r.Version() != version || r.State().Total != total || int64(r.State().Events) != version+int64(len(r.Pending())) {
		t.Errorf("version %d, total %d after %d events with %d pending; want version %d, total %d",
			r.Version(), r.State().Total, r.State().Events, len(r.Pending()), version, total)
	}
}

// wantStored loads from the store, in full and with whatever snapshots there are.
func wantStored(t *testing.T, repo *repository, version int64, total int) {
	t.Helper()
	r, err := repo.LoadOrNew(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	wantRoot(t, r, version, total)
}

// appendRaw puts an event past the codec.
func appendRaw(t *testing.T, b estest.Backend, eventType, data string) {
	t.Helper()
	if _, err := b.Store.Append(t.Context(), stream, es.Any, es.EventData{Type: eventType, Data: []byte(data)}); err != nil {
		t.Fatal(err)
	}
}

// hooked is a store whose appends can be tampered with.
type hooked struct {
	aggregate.Store
	append func(do func() (es.AppendResult, error)) (es.AppendResult, error)
}

func (h *hooked) Append(ctx context.Context, id es.StreamID, expected es.Expected, events ...es.EventData) (es.AppendResult, error) {
	return h.append(func() (es.AppendResult, error) { return h.Store.Append(ctx, id, expected, events...) })
}
