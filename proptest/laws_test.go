package proptest_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/proptest"
)

// Laws fail here on purpose; files to reproduce that would lie about.
func init() {
	_ = flag.Set("rapid.nofailfile", "true")
	_ = flag.Set("rapid.shrinktime", "3s") // the smallest example is not the point
}

// fake is a test that notes failures instead of failing.
type fake struct {
	testing.TB
	failed bool
	said   strings.Builder
}

type failNow struct{}

func (*fake) Helper()                  {}
func (*fake) Name() string             { return "law" }
func (f *fake) Failed() bool           { return f.failed }
func (*fake) Context() context.Context { return context.Background() }
func (f *fake) Fail()                  { f.failed = true }
func (f *fake) FailNow() {
	f.failed = true
	if f.TB == nil {
		panic(f.said.String())
	}
	panic(failNow{})
}
func (*fake) Log(...any)                  {}
func (*fake) Logf(string, ...any)         {}
func (f *fake) Errorf(s string, a ...any) { f.failed = true; fmt.Fprintf(&f.said, s+"\n", a...) }
func (f *fake) Error(a ...any)            { f.Errorf("%s", fmt.Sprintln(a...)) }
func (f *fake) Fatalf(s string, a ...any) { f.Errorf(s, a...); f.FailNow() }
func (f *fake) Fatal(a ...any)            { f.Fatalf("%s", fmt.Sprintln(a...)) }

// breaks wants a law to be broken, with a text in what it says.
func breaks(t *testing.T, want string, law func(t rapid.TB)) {
	t.Helper()
	f := &fake{TB: t}
	func() {
		defer func() {
			if p := recover(); p != nil && p != (failNow{}) {
				panic(p)
			}
		}()
		law(f)
	}()
	if said := f.said.String(); !f.failed || !strings.Contains(said, want) {
		t.Errorf("failed: %v, want %q; said:\n%s", f.failed, want, said)
	}
}

// The events of these tests are a wallet's.
type event interface {
	es.Event
	isEvent()
}

type added struct{ N int }
type tagged struct {
	Tags []string `json:",omitempty"`
}
type cleared struct{}

func (added) EventType() string   { return "wallet.added" }
func (tagged) EventType() string  { return "wallet.tagged" }
func (cleared) EventType() string { return "wallet.cleared" }
func (added) isEvent()            {}
func (tagged) isEvent()           {}
func (cleared) isEvent()          {}

type creditedV1 struct{ Cents int }

var (
	addedCase   = codec.Case(func(e added) event { return e })
	taggedCase  = codec.Case(func(e tagged) event { return e })
	clearedCase = codec.Case(func(e cleared) event { return e })
	credited    = codec.Legacy("wallet.credited", func(e creditedV1) event { return added{e.Cents} })
	union       = codec.NewUnion(addedCase, taggedCase, clearedCase, credited)

	someAdded = proptest.Case(func(e added) event { return e }, rapid.Map(rapid.IntRange(-9, 9), func(n int) added { return added{n} }))
	cases     = proptest.Events[event]{
		someAdded, proptest.Case(func(e tagged) event { return e }), proptest.Case(func(e cleared) event { return e }),
	}
	storedCredit = proptest.Stored[event]{Name: "wallet.credited", Payload: `{"Cents": 5}`, Event: added{5}}
)

// wallet can fold and decide wrongly in each way that a law forbids.
type wallet struct {
	Total int
	Tags  []string
	wrong *wrongs
}

type wrongs struct {
	apply  func(w *wallet, e event) bool // true if it has dealt with the event
	decide func(w *wallet) ([]event, error)
	calls  int
}

// Equal has cmp look past it.
func (*wrongs) Equal(*wrongs) bool { return true }

func (w *wallet) Apply(e event) {
	if w.wrong != nil && w.wrong.apply != nil && w.wrong.apply(w, e) {
		return
	}
	switch e := e.(type) {
	case added:
		w.Total += e.N
	case tagged:
		w.Tags = append(w.Tags, e.Tags...)
	case cleared:
		w.Total, w.Tags = 0, nil
	}
}

// MarshalJSON and UnmarshalJSON keep what is not the tests' own.
func (w *wallet) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"total": w.Total, "tags": w.Tags})
}

func (w *wallet) UnmarshalJSON(data []byte) error {
	var s struct {
		Total int
		Tags  []string
	}
	err := json.Unmarshal(data, &s)
	w.Total, w.Tags = s.Total, s.Tags
	return err
}

var errNegative = errors.New("negative")

func (w *wallet) add(n int) ([]event, error) {
	if w.Total+n < 0 {
		return nil, errNegative
	}
	return []event{added{n}}, nil
}

type (
	definition = aggregate.Definition[*wallet, event]
	command    = proptest.Command[*wallet, event]
)

func wallets(wrong *wrongs) *definition {
	return aggregate.Define("wallet", union, func() *wallet { return &wallet{wrong: wrong} })
}

var commands = rapid.Map(rapid.IntRange(-9, 9), func(n int) command {
	return command{Name: fmt.Sprintf("add %d", n), Decide: func(w *wallet) ([]event, error) {
		if w.wrong != nil && w.wrong.decide != nil {
			return w.wrong.decide(w)
		}
		return w.add(n)
	}}
})

func TestCodecLaws(t *testing.T) {
	t.Parallel()
	proptest.CheckCodec(t, union, cases, storedCredit)
	wide := proptest.Events[event]{proptest.Case(func(e added) event { return e }), cases[1], cases[2]}
	proptest.CheckCodec(t, union, wide, storedCredit)
}

// faulty is a codec with a fault.
type faulty struct {
	*codec.Union[event]
	encode func(e event) (string, []byte, bool, error)
	decode func(name string, data []byte) (event, error)
}

func (f faulty) Encode(e event) (string, []byte, bool, error) {
	if f.encode != nil {
		return f.encode(e)
	}
	return f.Union.Encode(e)
}

func (f faulty) Decode(name string, data []byte, binary bool) (event, error) {
	if f.decode != nil {
		return f.decode(name, data)
	}
	return f.Union.Decode(name, data, binary)
}

// secret is an event whose own methods lose what it holds.
type secret struct{ n int }

func (secret) MarshalText() ([]byte, error) { return []byte("secret"), nil }
func (*secret) UnmarshalText([]byte) error  { return nil }

func (secret) EventType() string { return "wallet.secret" }
func (secret) isEvent()          {}

func TestCodecLawsFind(t *testing.T) {
	t.Parallel()
	secrets := rapid.Map(rapid.IntRange(1, 9), func(n int) secret { return secret{n} })
	for name, c := range map[string]struct {
		codec  proptest.Codec[event]
		cases  proptest.Events[event]
		stored []proptest.Stored[event]
		want   string
	}{
		"a field that is not stored": {
			codec.NewUnion(codec.Case(func(e secret) event { return e })),
			proptest.Events[event]{proptest.Case(func(e secret) event { return e }, secrets)}, nil, "does not come back",
		},
		"an event that cannot be encoded": {codec.NewUnion(addedCase), cases, nil, "cannot be encoded"},
		"a case without a generator":      {union, cases[:2], []proptest.Stored[event]{storedCredit}, "wallet.cleared is neither a case nor a stored payload"},
		"a legacy name without a payload": {union, cases, nil, "wallet.credited is neither a case nor a stored payload"},
		"an upcast that has changed": {
			codec.NewUnion(addedCase, taggedCase, clearedCase, codec.Legacy("wallet.credited", func(e creditedV1) event { return added{e.Cents + 1} })),
			cases, []proptest.Stored[event]{storedCredit}, "is read as something else",
		},
		"a stored payload that is unreadable": {union, cases, []proptest.Stored[event]{{Name: "wallet.credited", Payload: `{"Cents": "5"}`}}, "cannot be read any more"},
		"another name than the event's": {faulty{Union: union, encode: func(e event) (string, []byte, bool, error) {
			_, data, binary, err := union.Encode(e)
			return "wallet.cleared", data, binary, err
		}}, cases, []proptest.Stored[event]{storedCredit}, `and its EventType is`},
		"a payload that is not JSON": {faulty{Union: union, encode: func(e event) (string, []byte, bool, error) {
			name, _, _, err := union.Encode(e)
			return name, []byte("{"), false, err
		}}, cases, []proptest.Stored[event]{storedCredit}, "which is not JSON"},
		"a decoder that depends on spaces": {faulty{Union: union, decode: func(name string, data []byte) (event, error) {
			if strings.Contains(string(data), "\n") {
				return cleared{}, nil
			}
			return union.Decode(name, data, false)
		}}, cases, []proptest.Stored[event]{storedCredit}, "in a store's form"},
		"an unknown name that is guessed": {faulty{Union: union, decode: func(name string, data []byte) (event, error) {
			if !union.Has(name) {
				return cleared{}, nil
			}
			return union.Decode(name, data, false)
		}}, cases, []proptest.Stored[event]{storedCredit}, "want codec.ErrUnknownEvent"},
		"a panic on what is malformed": {faulty{Union: union, decode: func(name string, data []byte) (event, error) {
			e, err := union.Decode(name, data, false)
			if errors.Is(err, codec.ErrMalformed) {
				panic(err)
			}
			return e, err
		}}, cases, []proptest.Stored[event]{storedCredit}, "panics on the payload"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			breaks(t, c.want, func(t rapid.TB) { proptest.CheckCodec(t, c.codec, c.cases, c.stored...) })
		})
	}
}

func TestFoldLaws(t *testing.T) {
	t.Parallel()
	proptest.CheckFold(t, wallets(nil), cases)
	proptest.CheckSnapshots(t, wallets(nil), cases)
}

func TestFoldLawsFind(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		apply func(*wrongs) func(w *wallet, e event) bool
		want  string
	}{
		"a panic in some state": {func(*wrongs) func(*wallet, event) bool {
			return func(w *wallet, e event) bool {
				if _, ok := e.(cleared); ok && len(w.Tags) == 0 {
					panic("nothing to clear")
				}
				return false
			}
		}, "Apply panics"},
		"a fold that counts its calls": {func(x *wrongs) func(*wallet, event) bool {
			return func(w *wallet, _ event) bool { x.calls++; w.Total += x.calls; return false }
		}, "is not deterministic"},
		"an event that is kept and changed": {func(*wrongs) func(*wallet, event) bool {
			return func(_ *wallet, e event) bool {
				if e, ok := e.(tagged); ok && len(e.Tags) > 0 {
					e.Tags[0] += "!"
				}
				return false
			}
		}, "changes the events"},
		"a state of what a store does not keep": {func(*wrongs) func(*wallet, event) bool {
			return func(w *wallet, e event) bool {
				if e, ok := e.(tagged); ok && e.Tags != nil { // empty or nil, a store may not tell
					w.Total++
				}
				return false
			}
		}, "is not stored"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			breaks(t, c.want, func(t rapid.TB) {
				x := &wrongs{}
				x.apply = c.apply(x)
				proptest.CheckFold(t, wallets(x), cases)
			})
		})
	}
	t.Run("a state that others share", func(t *testing.T) {
		t.Parallel()
		total := 0 // of whoever is folded
		def := aggregate.Define("wallet", union, func() *wallet {
			total = 0
			return &wallet{wrong: &wrongs{apply: func(w *wallet, e event) bool {
				if e, ok := e.(added); ok {
					total += e.N
				}
				w.Total = total
				return true
			}}}
		})
		breaks(t, "than all at once", func(t rapid.TB) { proptest.CheckFold(t, def, cases) })
	})
	t.Run("a state of what is not stored", func(t *testing.T) {
		t.Parallel()
		def := aggregate.Define("wallet", codec.NewUnion(codec.Case(func(e secret) event { return e })), func() *wallet {
			return &wallet{wrong: &wrongs{apply: func(w *wallet, e event) bool { w.Total += e.(secret).n; return true }}}
		})
		secrets := proptest.Case(func(e secret) event { return e }, rapid.Map(rapid.IntRange(1, 9), func(n int) secret { return secret{n} }))
		breaks(t, "do not come back from a store", func(t rapid.TB) { proptest.CheckFold(t, def, proptest.Events[event]{secrets}) })
	})
}

// lossy forgets its tags in a snapshot.
type lossy struct{ wallet }

func (l *lossy) MarshalJSON() ([]byte, error) { return json.Marshal(map[string]any{"total": l.Total}) }

// mute cannot be a snapshot at all.
type mute struct{ wallet }

func (*mute) MarshalJSON() ([]byte, error) { return nil, errors.New("no") }

// plain has a field that JSON drops.
type plain struct{ total int }

func (p *plain) Apply(event) { p.total++ }

func TestSnapshotLawFinds(t *testing.T) {
	t.Parallel()
	breaks(t, "lossy.wallet.Tags does not come back", func(t rapid.TB) {
		proptest.CheckSnapshots(t, aggregate.Define("wallet", union, func() *lossy { return &lossy{} }), cases)
	})
	breaks(t, "cannot be kept as a snapshot", func(t rapid.TB) {
		proptest.CheckSnapshots(t, aggregate.Define("wallet", union, func() *mute { return &mute{} }), cases)
	})
	breaks(t, ".total is unexported and would be lost", func(t rapid.TB) {
		proptest.CheckSnapshots(t, aggregate.Define("wallet", union, func() *plain { return &plain{} }), cases)
	})
}

func TestDecisionLaws(t *testing.T) {
	t.Parallel()
	proptest.CheckDecisions(t, wallets(nil), commands)
}

func TestDecisionLawsFind(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		decide func(*wrongs) func(w *wallet) ([]event, error)
		want   string
	}{
		"a decision that changes the state": {func(*wrongs) func(*wallet) ([]event, error) {
			return func(w *wallet) ([]event, error) { w.Total++; return nil, nil }
		}, "changes the state"},
		"a decision that answers otherwise when asked again": {func(x *wrongs) func(*wallet) ([]event, error) {
			return func(*wallet) ([]event, error) { x.calls++; return []event{added{x.calls}}, nil }
		}, "answers otherwise"},
		"a refusal that comes and goes": {func(x *wrongs) func(*wallet) ([]event, error) {
			return func(*wallet) ([]event, error) {
				if x.calls++; x.calls%2 == 0 {
					return nil, errNegative
				}
				return nil, nil
			}
		}, "answers otherwise"},
		"events beside a refusal": {func(*wrongs) func(*wallet) ([]event, error) {
			return func(*wallet) ([]event, error) { return []event{added{1}}, errNegative }
		}, "refuses (negative) and answers 1 events"},
		"an event of no case": {func(*wrongs) func(*wallet) ([]event, error) {
			return func(*wallet) ([]event, error) { return []event{secret{}}, nil }
		}, "Execute returns"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			breaks(t, c.want, func(t rapid.TB) {
				x := &wrongs{}
				x.decide = c.decide(x)
				proptest.CheckDecisions(t, wallets(x), commands)
			})
		})
	}
}
