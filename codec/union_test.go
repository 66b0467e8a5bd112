package codec_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/codec/cbor"
)

type event interface {
	EventType() string
	isEvent()
}

type deposited struct {
	Amount int64             `json:"amount"`
	Note   string            `json:"note,omitempty"`
	Limit  uint64            `json:"limit,omitempty"`
	Rate   float64           `json:"rate,omitempty"`
	Tags   map[string]string `json:"tags,omitempty"`
	Lines  []string          `json:"lines,omitempty"`
}

type closed struct{}

// What accounts looked like before: v1 became v2, v2 became deposited.
type creditedV1 struct{ Cents int64 }
type creditedV2 struct {
	Cents int64
	Why   string
}

func (deposited) EventType() string { return "account.deposited" }
func (deposited) isEvent()          {}
func (closed) EventType() string    { return "account.closed" }
func (closed) isEvent()             {}

func fromV2(e creditedV2) event { return deposited{Amount: e.Cents, Note: e.Why} }

func newUnion() *codec.Union[event] {
	return codec.NewUnion(
		codec.Case(func(e deposited) event { return e }),
		codec.Case(func(e closed) event { return e }),
		codec.Legacy("account.credited", func(e creditedV1) event { return fromV2(creditedV2{e.Cents, "from v1"}) }),
		codec.Legacy("account.credited.v2", fromV2),
		codec.Legacy("account.adjusted", func(e creditedV1) event {
			if e.Cents == 0 { // split by content
				return closed{}
			}
			return deposited{Amount: e.Cents}
		}),
		codec.Legacy("account.cursed", func(creditedV1) event { panic("upcast") }),
	)
}

func TestEncodedEventsDecodeToTheSame(t *testing.T) {
	t.Parallel()
	for name, union := range map[string]*codec.Union[event]{"json": newUnion(), "cbor": newUnion().WithFormat(cbor.Format)} {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			e := deposited{
				Amount: rapid.Int64().Draw(t, "amount"),
				Note:   rapid.String().Draw(t, "note"),
				Limit:  rapid.Uint64().Draw(t, "limit"),
				Rate:   rapid.Float64().Draw(t, "rate"),
				Tags:   rapid.MapOfN(rapid.String(), rapid.String(), 1, 4).Draw(t, "tags"),
				Lines:  rapid.SliceOfN(rapid.String(), 1, 4).Draw(t, "lines"),
			}
			eventType, data, binary, err := union.Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			if eventType != "account.deposited" || binary != (name == "cbor") {
				t.Errorf("encoded as %q, binary %v", eventType, binary)
			}
			back, err := union.Decode(eventType, data, binary)
			if diff := cmp.Diff(event(e), back); err != nil || diff != "" {
				t.Errorf("error %v (-recorded +read):\n%s", err, diff)
			}
		}))
	}
}

// Row B31: the bounds of integers survive, what goes beyond is refused.
func TestIntegersKeepAllDigits(t *testing.T) {
	t.Parallel()
	for _, e := range []deposited{{Amount: math.MinInt64}, {Amount: math.MaxInt64, Limit: math.MaxUint64}, {Amount: 1<<53 + 1}} {
		_, data, _, err := newUnion().Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := newUnion().Decode("account.deposited", data, false); err != nil || !cmp.Equal(back, event(e)) {
			t.Errorf("%s came back as %+v, %v", data, back, err)
		}
	}
	for _, data := range []string{`{"amount": 9223372036854775808}`, `{"amount": -9223372036854775809}`, `{"limit": 18446744073709551616}`, `{"limit": -1}`, `{"amount": 1.5}`, `{"rate": 1e400}`} {
		if e, err := newUnion().Decode("account.deposited", []byte(data), false); !errors.Is(err, codec.ErrMalformed) {
			t.Errorf("%s became %+v, error %v; want ErrMalformed", data, e, err)
		}
	}
}

func TestUnencodableValueIsMalformed(t *testing.T) {
	t.Parallel()
	if _, _, _, err := newUnion().Encode(deposited{Rate: math.NaN()}); !errors.Is(err, codec.ErrMalformed) {
		t.Errorf("got error %v, want ErrMalformed", err)
	}
}

func TestLegacyEventsAreUpcast(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, data string
		want       event
	}{
		{"account.credited", `{"Cents": 5}`, deposited{Amount: 5, Note: "from v1"}},
		{"account.credited.v2", `{"Cents": 5, "Why": "gift"}`, deposited{Amount: 5, Note: "gift"}},
		{"account.adjusted", `{"Cents": 5}`, deposited{Amount: 5}},
		{"account.adjusted", `{"Cents": 0}`, closed{}},
		{"account.deposited", `{"amount": 1, "no_such_field": [{}]}`, deposited{Amount: 1}},
		{"account.closed", ` {} `, closed{}},
	} {
		got, err := newUnion().Decode(c.name, []byte(c.data), false)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s %s: error %v (-want +got):\n%s", c.name, c.data, err, diff)
		}
	}
}

func TestUndecodableIsAnError(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		name, data string
		binary     bool
		want       error
	}{
		"unknown name":       {"account.frozen", `{}`, false, codec.ErrUnknownEvent},
		"a Go type's name":   {"deposited", `{}`, false, codec.ErrUnknownEvent},
		"empty name":         {"", `{}`, false, codec.ErrUnknownEvent},
		"no JSON":            {"account.deposited", `{"amount": `, false, codec.ErrMalformed},
		"empty payload":      {"account.deposited", ``, false, codec.ErrMalformed},
		"wrong type":         {"account.deposited", `{"amount": "1"}`, false, codec.ErrMalformed},
		"another JSON value": {"account.deposited", `[1]`, false, codec.ErrMalformed},
		"trailing text":      {"account.deposited", `{"amount": 1} x`, false, codec.ErrMalformed},
		"binary":             {"account.deposited", "\xa0", true, codec.ErrMalformed},
		"panicking upcast":   {"account.cursed", `{}`, false, codec.ErrMalformed},
	} {
		e, err := newUnion().Decode(c.name, []byte(c.data), c.binary)
		if !errors.Is(err, c.want) || e != nil {
			t.Errorf("%s: got %v, error %v; want %v", name, e, err, c.want)
		} else if c.name != "" && !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s: error %q does not name the type", name, err)
		}
	}
}

// A union with a binary format goes on reading what was stored as JSON.
func TestBinaryFormatStillReadsJSON(t *testing.T) {
	t.Parallel()
	union := newUnion().WithFormat(cbor.Format)
	if e, err := union.Decode("account.deposited", []byte(`{"amount": 3}`), false); err != nil || !cmp.Equal(e, event(deposited{Amount: 3})) {
		t.Errorf("got %v, %v", e, err)
	}
	if e, err := union.Decode("account.deposited", []byte(`{"amount": 3}`), true); !errors.Is(err, codec.ErrMalformed) {
		t.Errorf("JSON read as binary: got %v, %v; want ErrMalformed", e, err)
	}
}

type stranger struct{}

func (stranger) EventType() string { return "stranger" }
func (stranger) isEvent()          {}

func TestEncodeRefusesWhatIsNoCase(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		e    event
		want string
	}{
		"another type": {stranger{}, "codec.Case"},
		"a pointer":    {&deposited{}, "record the value"},
		"nil":          {nil, "<nil>"},
	} {
		if _, _, _, err := newUnion().Encode(c.e); !errors.Is(err, codec.ErrUnknownEvent) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want ErrUnknownEvent with %q", name, err, c.want)
		}
	}
}

type unnamed struct{}

func (unnamed) EventType() string { return "" }
func (unnamed) isEvent()          {}

type namesake struct{}

func (namesake) EventType() string { return "account.deposited" }
func (namesake) isEvent()          {}

func TestNewUnionRefusesFaultySets(t *testing.T) {
	t.Parallel()
	d := codec.Case(func(e deposited) event { return e })
	for name, c := range map[string]struct {
		build func()
		want  []string
	}{
		"a name twice":             {func() { codec.NewUnion(d, codec.Case(func(e namesake) event { return e })) }, []string{`two cases have the event type "account.deposited"`}},
		"a legacy name taken":      {func() { codec.NewUnion(d, codec.Legacy("account.deposited", fromV2)) }, []string{"two cases"}},
		"a case twice":             {func() { codec.NewUnion(d, d) }, []string{"two cases"}},
		"an empty name":            {func() { codec.NewUnion(codec.Case(func(e unnamed) event { return e })) }, []string{"empty event type"}},
		"an empty legacy name":     {func() { codec.NewUnion(codec.Legacy("", fromV2)) }, []string{"empty event type"}},
		"a pointer":                {func() { codec.NewUnion(codec.Case(func(e *deposited) event { return e })) }, []string{"*codec_test.deposited is a pointer"}},
		"an interface":             {func() { codec.NewUnion(codec.Case(func(e event) event { return e })) }, []string{"is an interface"}},
		"all faults, not only one": {func() { codec.NewUnion(d, d, codec.Legacy("", fromV2)) }, []string{"two cases", "empty event type"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				message := fmt.Sprint(recover())
				for _, want := range c.want {
					if !strings.Contains(message, want) {
						t.Errorf("panic %q, want %q in it", message, want)
					}
				}
			}()
			c.build()
		})
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	want := []string{"account.adjusted", "account.closed", "account.credited", "account.credited.v2", "account.cursed", "account.deposited"}
	if diff := cmp.Diff(want, newUnion().Names()); diff != "" {
		t.Error(diff)
	}
	if !newUnion().Has("account.closed") || newUnion().Has("account.frozen") {
		t.Error("Has is wrong")
	}
}

func FuzzDecodeNeverPanics(f *testing.F) {
	for _, data := range []string{`{"amount": 1}`, `{"tags": {"a": "b"}, "lines": ["\u0000\ud800"]}`, `[`, `"`, "\xa1", `{"amount":1e5}`, `nul`, `{"lines":[[[[[`} {
		f.Add("account.deposited", []byte(data), false)
		f.Add("account.deposited", []byte(data), true)
	}
	f.Add("account.cursed", []byte(`{}`), false)
	union := newUnion().WithFormat(cbor.Format)
	f.Fuzz(func(t *testing.T, name string, data []byte, binary bool) {
		e, err := union.Decode(name, data, binary)
		if err != nil {
			if !errors.Is(err, codec.ErrMalformed) && !errors.Is(err, codec.ErrUnknownEvent) {
				t.Errorf("got error %v, want ErrMalformed or ErrUnknownEvent", err)
			}
			return
		}
		if _, _, _, err := union.Encode(e); err != nil && !strings.Contains(err.Error(), "unsupported value") {
			t.Errorf("decoded %+v cannot be encoded: %v", e, err)
		}
	})
}
