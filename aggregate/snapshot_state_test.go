package aggregate_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/internal/backends"
)

// set is an event of the states below: a key and a number.
type set struct {
	Key string
	N   int64
}

func (set) EventType() string { return "thing.set" }

var things = codec.NewUnion(codec.Case(func(e set) set { return e }))

// States that JSON keeps, each in a way that is easily got wrong.
type (
	// initial has defaults that JSON's zero values must overwrite.
	initial struct {
		Limit  int64            `json:",omitempty"`
		Open   bool             `json:",omitempty"`
		Limits map[string]int64 `json:",omitempty"`
	}
	// numeric has numbers that are larger than a float holds.
	numeric struct {
		Sum  big.Int
		N    uint64
		When time.Time
	}
	// own says itself how it is stored.
	own struct{ cents int64 }
	// tally is no pointer, and its methods for JSON are on one.
	tally map[string]int64
)

func (t tally) Apply(e set)                      { t[e.Key] += e.N }
func (t *tally) MarshalJSON() ([]byte, error)    { return json.Marshal(map[string]int64(*t)) }
func (t *tally) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, (*map[string]int64)(t)) }

func (s *initial) Apply(e set) {
	if s.Limit, s.Open = e.N, false; e.Key != "" {
		delete(s.Limits, e.Key)
	}
}
func (s *numeric) Apply(e set) {
	s.Sum.Add(&s.Sum, big.NewInt(e.N))
	s.N, s.When = uint64(e.N), time.Unix(e.N%1000, 5).UTC()
}
func (s *own) Apply(e set)                  { s.cents += e.N }
func (s *own) MarshalJSON() ([]byte, error) { return json.Marshal(s.cents) }
func (s *own) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &s.cents)
}

// States that JSON does not keep, which shows only when one is stored.
type (
	loose   struct{ Attrs map[string]any }
	nilness struct {
		Lines []string `json:",omitempty"`
	}
	item   struct{ N int64 }
	shared struct {
		Items map[string]*item
		Last  *item
	}
	rounding struct{ cents int64 }
	failing  struct{ N int64 }
)

func (s *loose) Apply(e set) {
	if s.Attrs == nil {
		s.Attrs = map[string]any{}
	}
	s.Attrs[e.Key] = e.N
}
func (s *nilness) Apply(set) {
	if s.Lines == nil {
		s.Lines = []string{}
	}
}
func (s *shared) Apply(e set) {
	if s.Items == nil {
		s.Items = map[string]*item{}
	}
	if s.Items[e.Key] == nil {
		s.Items[e.Key] = &item{}
	}
	s.Last = s.Items[e.Key]
	s.Last.N += e.N
}
func (s *rounding) Apply(e set)                  { s.cents += e.N }
func (s *rounding) MarshalJSON() ([]byte, error) { return json.Marshal(s.cents / 100) }
func (s *rounding) UnmarshalJSON(data []byte) error {
	err := json.Unmarshal(data, &s.cents)
	s.cents *= 100
	return err
}
func (s *failing) Apply(e set)                  { s.N = e.N }
func (s *failing) MarshalJSON() ([]byte, error) { return nil, errTooMuch }
func (s *failing) UnmarshalJSON([]byte) error   { return nil }

// States whose type says that JSON never keeps them.
type (
	hiding struct {
		time.Time
		N int64
	}
	mute  struct{ n int64 }
	iface struct{ Shape fmt.Stringer }
	keyed struct{ M map[[2]int]int64 }
)

func (s *hiding) Apply(e set) { s.N = e.N }
func (s *mute) Apply(e set)   { s.n = e.N }
func (s *iface) Apply(set)    {}
func (s *keyed) Apply(set)    {}

// loadBothWays saves events, and has them loaded with snapshots and without. It returns
// whether there is a snapshot, and what was logged.
func loadBothWays[A aggregate.Aggregate[set]](t *testing.T, b estest.Backend, key string, empty func() A) (kept bool, logged string) {
	t.Helper()
	var log strings.Builder
	plain := aggregate.Define("thing", things, empty)
	repo := aggregate.NewRepository(b.Store, plain.WithSnapshots(aggregate.Snapshots{Every: 2})).WithLogger(slog.New(slog.NewTextHandler(&log, nil)))
	for n := range int64(7) {
		if _, err := repo.Execute(t.Context(), key, func(A) ([]set, error) { return []set{{Key: strconv.FormatInt(n%3, 10), N: 1<<53 + n*151}}, nil }); err != nil {
			t.Fatal(err)
		}
		full, err := aggregate.NewRepository(b.Store, plain).Load(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		fast, err := repo.Load(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []*aggregate.Root[A, set]{full, fast} { // and go on from there
			r.Record(set{"0", 0}, set{"1", 5}, set{"0", 7})
		}
		if diff := cmp.Diff(full.State(), fast.State(), exported, cmp.Comparer(func(a, b big.Int) bool { return a.Cmp(&b) == 0 })); diff != "" {
			t.Errorf("%s at version %d (-full replay +snapshot):\n%s", key, n+1, diff)
		}
	}
	_, kept, err := b.Store.ReadSnapshot(t.Context(), es.StreamID{Category: "thing", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return kept, log.String()
}

// A state that was loaded from a snapshot is the state; where that cannot be, there is no
// snapshot, and it is said once.
func TestSnapshotIsTheState(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		wanted := func(key string, want bool) func(kept bool, logged string) {
			return func(kept bool, logged string) {
				t.Helper()
				said := strings.Count(logged, "snapshot_differs_from_state")
				if kept != want || want && logged != "" || !want && (said != 1 || strings.Count(logged, "\n") != 1) {
					t.Errorf("%s: kept %v, logged %q", key, kept, logged)
				}
			}
		}
		wanted("initial", true)(loadBothWays(t, b, "initial", func() *initial { return &initial{500, true, map[string]int64{"1": 5, "9": 9}} }))
		wanted("numeric", true)(loadBothWays(t, b, "numeric", func() *numeric { return new(numeric) }))
		wanted("own", true)(loadBothWays(t, b, "own", func() *own { return new(own) }))
		wanted("tally", true)(loadBothWays(t, b, "tally", func() tally { return tally{} }))
		wanted("loose", false)(loadBothWays(t, b, "loose", func() *loose { return new(loose) }))
		wanted("nilness", false)(loadBothWays(t, b, "nilness", func() *nilness { return new(nilness) }))
		wanted("shared", false)(loadBothWays(t, b, "shared", func() *shared { return new(shared) }))
		wanted("failing", false)(loadBothWays(t, b, "failing", func() *failing { return new(failing) }))
		if _, logged := loadBothWays(t, b, "rounding", func() *rounding { return new(rounding) }); !strings.Contains(logged, "does not come back") {
			t.Errorf("rounding: logged %q", logged)
		}
	})
}

func TestStatesThatCannotBeSnapshotsAreRefused(t *testing.T) {
	t.Parallel()
	s := aggregate.Snapshots{Every: 1}
	for want, define := range map[string]func(){
		"embeds time.Time, whose MarshalJSON hides": func() { aggregate.Define("thing", things, func() *hiding { return nil }).WithSnapshots(s) },
		"mute.n is unexported":                      func() { aggregate.Define("thing", things, func() *mute { return nil }).WithSnapshots(s) },
		"iface.Shape is the interface":              func() { aggregate.Define("thing", things, func() *iface { return nil }).WithSnapshots(s) },
		"keyed.M has keys of type [2]int":           func() { aggregate.Define("thing", things, func() *keyed { return nil }).WithSnapshots(s) },
	} {
		func() {
			defer func() {
				if message := fmt.Sprint(recover()); !strings.Contains(message, want) {
					t.Errorf("panics with %q, want %q in it", message, want)
				}
			}()
			define()
		}()
	}
}

// Two programs' ideas of one state: a field was renamed, and nobody counted up.
type (
	before struct{ Sum int64 }
	after  struct{ Total, Count int64 }
)

func (s *before) Apply(e set) { s.Sum += e.N }
func (s *after) Apply(e set)  { s.Total += e.N; s.Count++ }

func TestChangedTypeOfAStateIsNoticed(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		every := aggregate.Snapshots{Every: 2, Schema: 1}
		old := aggregate.NewRepository(b.Store, aggregate.Define("thing", things, func() *before { return new(before) }).WithSnapshots(every))
		renamed := aggregate.NewRepository(b.Store, aggregate.Define("thing", things, func() *after { return new(after) }).WithSnapshots(every))
		for n := range 5 { // both programs run for a while
			if _, err := old.Execute(t.Context(), "1", func(*before) ([]set, error) { return []set{{N: 1}}, nil }); err != nil {
				t.Fatal(err)
			}
			if _, err := renamed.Execute(t.Context(), "1", func(*after) ([]set, error) { return []set{{N: 1}}, nil }); err != nil {
				t.Fatal(err)
			}
			o, err := old.Load(t.Context(), "1")
			if err != nil || o.State().Sum != int64(2*n+2) {
				t.Errorf("the old program: %+v, %v", o, err)
			}
			r, err := renamed.Load(t.Context(), "1")
			if err != nil || r.State().Total != int64(2*n+2) || r.State().Count != r.State().Total {
				t.Errorf("the new program: %+v, %v", r, err)
			}
		}
	})
}

func TestDeleteSnapshots(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		every := aggregate.Snapshots{Every: 1}
		repos := map[string]*aggregate.Repository[*before, set]{}
		for _, category := range []string{"thing", "thin", "things"} {
			repos[category] = aggregate.NewRepository(b.Store, aggregate.Define(category, things, func() *before { return new(before) }).WithSnapshots(every))
			for _, key := range []string{"a", "b-c", "~"} {
				if _, err := repos[category].Execute(t.Context(), key, func(*before) ([]set, error) { return []set{{N: 1}}, nil }); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, want := range []int{3, 0} {
			if n, err := repos["thing"].DeleteSnapshots(t.Context()); n != want || err != nil {
				t.Errorf("deleted %d, %v; want %d", n, err, want)
			}
		}
		err := b.InTx(t.Context(), func(tx es.Tx) error {
			n, err := repos["things"].In(tx).DeleteSnapshots(t.Context())
			if n != 3 {
				t.Errorf("deleted %d in a transaction", n)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := repos["thin"].DeleteSnapshots(t.Context()); n != 3 || err != nil {
			t.Errorf("deleted %d, %v: those of other categories are gone, too", n, err)
		}
		if r, err := repos["thing"].Load(t.Context(), "b-c"); err != nil || r.State().Sum != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// exported has cmp look at unexported fields.
var exported = cmp.Exporter(func(reflect.Type) bool { return true })
