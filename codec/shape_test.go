package codec_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/codec/cbor"
)

// holds is an event with one field, of a type that is stored in some way.
type holds[T any] struct{ V T }

func (holds[T]) EventType() string { return "holds" }
func (holds[T]) isEvent()          {}

// date has its methods on the pointer, as is usual.
type date struct{ day time.Time }

func (d *date) MarshalText() ([]byte, error) { return []byte(d.day.Format(time.DateOnly)), nil }
func (d *date) UnmarshalText(text []byte) (err error) {
	d.day, err = time.Parse(time.DateOnly, string(text))
	return err
}

// money has its methods on the value, as far as it can.
type money struct{ cents int64 }

func (m money) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%d", m.cents), nil }
func (m *money) UnmarshalText(text []byte) error {
	_, err := fmt.Sscan(string(text), &m.cents)
	return err
}

// writeOnly is written in a form that it cannot be read from, sorted in one that it can.
type (
	writeOnly int
	sorted    []int
	colour    string
)

func (w writeOnly) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "number %d", w), nil }
func (s sorted) MarshalJSON() ([]byte, error)    { return json.Marshal([]int(s)) }
func (c colour) MarshalText() ([]byte, error)    { return []byte(c), nil }

type (
	Base   struct{ ID string }
	hidden struct{ count int } //nolint:unused // that is the point
	named  struct{ Base Base }
	embeds struct{ Base }
	tagged struct {
		Base `json:"base"`
		ID   string
	}
	inner    struct{ N int }
	viaInner struct{ inner }
	viaPtr   struct{ *inner }
	dropped  struct {
		Kept    int
		Ignored int `json:"-"`
	}
	stamped struct {
		time.Time
		Note string
	}
	onlyTime struct{ time.Time }
	shadows  struct {
		Base
		ID int
	}
	left  struct{ ID, A string }
	right struct{ ID, B string }
	both  struct {
		left
		right
	}
	twoNames struct {
		Paid int
		Due  int `json:"Paid"`
	}
	tree   struct{ Children []*tree }
	option struct {
		Set   bool
		Value *hidden
	}
	locked struct {
		sync.Mutex
		N int
	}
)

// blank has fields that say something to the compiler or the encoder, and no value.
type blank struct {
	_ struct{} `cbor:",toarray"`
	_ [0]func()
	N int
}

// merges embeds a type that encodes itself, and does so itself with all that it holds.
type (
	Label  string
	merges struct {
		Label
		Note string
	}
)

func (l Label) MarshalText() ([]byte, error)     { return []byte(l), nil }
func (l *Label) UnmarshalText(text []byte) error { *l = Label(text); return nil }

func (m merges) MarshalText() ([]byte, error) {
	if m.Note == "" {
		return []byte(m.Label), nil
	}
	return []byte(string(m.Label) + " " + m.Note), nil
}

func (m *merges) UnmarshalText(text []byte) error {
	label, note, _ := strings.Cut(string(text), " ")
	m.Label, m.Note = Label(label), note
	return nil
}

// secret is written as something else.
type secret string

func (secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

func (b Base) String() string { return b.ID }

// accepted is a type that comes back: NewUnion takes it, and a value survives.
func accepted[T any](t *testing.T, values ...T) {
	t.Helper()
	union := codec.NewUnion(codec.Case(func(e holds[T]) event { return e }))
	for _, u := range []*codec.Union[event]{union, union.WithFormat(cbor.Format)} {
		for _, v := range values {
			name, data, binary, err := u.Encode(holds[T]{v})
			if err != nil {
				t.Errorf("%T: %v", v, err)
				continue
			}
			back, err := u.Decode(name, data, binary)
			same := cmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 })
			diff := cmp.Diff(event(holds[T]{v}), back, same, cmp.Comparer(func(a, b big.Int) bool { return a.Cmp(&b) == 0 }),
				cmp.AllowUnexported(money{}, date{}, viaInner{}, both{}), cmpopts.EquateComparable(netip.Addr{}))
			if err != nil || diff != "" {
				t.Errorf("%T, stored as %q, comes back with error %v and a difference:\n%s", v, data, err, diff)
			}
		}
	}
}

func TestTypesThatComeBackAreAccepted(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC)
	accepted(t, *big.NewInt(5))
	accepted(t, big.NewInt(-1<<40), nil)
	accepted(t, []big.Int{*big.NewInt(7)})
	accepted(t, map[string]*big.Int{"a": big.NewInt(9)})
	accepted(t, date{day})
	accepted(t, []date{{day}})
	accepted(t, &date{day})
	accepted(t, money{12})
	accepted(t, map[string]money{"a": {1}})
	accepted(t, netip.MustParseAddr("10.0.0.1"))
	accepted(t, uuid.New())
	accepted(t, day)
	accepted(t, time.Minute)
	accepted(t, sorted{1, 2})
	accepted(t, colour("red"))
	accepted(t, map[colour]int{"red": 1})
	accepted(t, map[int]string{-3: "a"})
	accepted(t, []byte("bytes"))
	accepted(t, [2]string{"a", "b"})
	accepted(t, named{Base{"n"}})
	accepted(t, embeds{Base{"e"}})
	accepted(t, tagged{Base: Base{"b"}, ID: "own"})
	accepted(t, viaInner{inner{3}})
	accepted(t, onlyTime{day})
	accepted(t, tree{Children: []*tree{{}, nil}})
	accepted(t, blank{N: 1})
	accepted(t, merges{"m", ""}, merges{"m", "note"})
	accepted[any](t, "text", true, nil, map[string]any{"a": "b"}, []any{"a"})
}

// refused is a type that can never come back: NewUnion says which field, and why.
func refused[T any](t *testing.T, want ...string) {
	t.Helper()
	refusedBy(t, func() { codec.NewUnion(codec.Case(func(e holds[T]) event { return e })) }, want...)
}

func refusedBy(t *testing.T, f func(), want ...string) {
	t.Helper()
	defer func() {
		t.Helper()
		err, _ := recover().(error)
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("got %v, want %q in it", err, w)
			}
		}
	}()
	f()
}

func TestTypesThatCannotComeBackAreRefused(t *testing.T) {
	t.Parallel()
	refused[hidden](t, ".V.count is unexported and would be lost")
	refused[*hidden](t, ".V.count is unexported")
	refused[[]hidden](t, ".V.count is unexported")
	refused[map[string]hidden](t, ".V.count is unexported")
	refused[option](t, ".V.Value.count is unexported")
	refused[locked](t, ".V.Mutex.")
	refused[fmt.Stringer](t, ".V is the interface fmt.Stringer")
	refused[error](t, ".V is the interface error")
	refused[map[string]fmt.Stringer](t, ".V is the interface")
	refused[struct{ fmt.Stringer }](t, ".V.Stringer is the interface")
	refused[chan int](t, ".V is a chan int, which cannot be stored")
	refused[func()](t, ".V is a func()")
	refused[complex128](t, ".V is a complex128")
	refused[map[string]big.Int](t, ".V is a big.Int in a map", "use *big.Int")
	refused[map[string]date](t, ".V is a codec_test.date in a map", "use *codec_test.date")
	refused[map[[2]int]string](t, ".V has keys of type [2]int")
	refused[map[writeOnly]int](t, ".V has keys of type codec_test.writeOnly", "implement UnmarshalText")
	refused[writeOnly](t, ".V is a codec_test.writeOnly, which has MarshalText and cannot be read")
	refused[secret](t, ".V is a codec_test.secret, which has MarshalText and cannot be read: implement UnmarshalText")
	refused[**date](t, ".V is a **codec_test.date, a pointer to a pointer", "use *codec_test.date")
	refused[**big.Int](t, "use *big.Int")
	refused[dropped](t, ".V.Ignored is dropped by its tag")
	refused[viaPtr](t, ".V.inner is an embedded pointer to an unexported type")
	refused[stamped](t, ".V embeds time.Time, whose MarshalJSON hides all other fields")
	refused[shadows](t, ".V.Base.ID is dropped, because another field is called \"ID\"")
	refused[both](t, ".V.left.ID is dropped", ".V.right.ID is dropped")
	refused[twoNames](t, `.V.Paid is dropped, because another field is called "Paid"`)
	refused[url.URL](t, ".V.User.password is unexported") // JSON keeps no password
}

// money whose form depends on a field is not the same for every value.
type (
	kinded    struct{ Kind string }
	embedsNil struct{ *kinded }
	secretly  struct{ kind string }
)

func (k kinded) EventType() string            { return "kind." + k.Kind }
func (kinded) isEvent()                       {}
func (k secretly) EventType() string          { return "kind." + k.kind }
func (secretly) isEvent()                     {}
func (secretly) MarshalJSON() ([]byte, error) { return []byte(`{}`), nil }
func (*secretly) UnmarshalJSON([]byte) error  { return nil }

func TestEventTypeIsAConstant(t *testing.T) {
	t.Parallel()
	refusedBy(t, func() { codec.NewUnion(codec.Case(func(e kinded) event { return e })) }, `EventType depends on the value, it is "kind." and "kind.filled"`)
	refusedBy(t, func() { codec.NewUnion(codec.Case(func(e embedsNil) event { return e })) }, "panics for the zero value", "must be a constant")
	// What does not show at start-up is found when such an event is encoded.
	_, _, _, err := codec.NewUnion(codec.Case(func(e secretly) event { return e })).Encode(secretly{"x"})
	if !errors.Is(err, codec.ErrMalformed) || !strings.Contains(fmt.Sprint(err), "must be a constant") {
		t.Errorf("got error %v", err)
	}
}

func TestCaseMustReturnItsArgument(t *testing.T) {
	t.Parallel()
	refusedBy(t, func() { codec.NewUnion(codec.Case(func(deposited) event { return nil })) }, "codec_test.deposited", "returns <nil>")
	refusedBy(t, func() { codec.NewUnion(codec.Case(func(deposited) event { return closed{} })) }, "returns codec_test.closed")
	refusedBy(t, func() { codec.NewUnion(codec.Case(func(e deposited) event { return &e })) }, "returns *codec_test.deposited")
	refusedBy(t, func() { codec.NewUnion(codec.Case(func(e deposited) event { panic(e) })) }, "panics for the zero value")
}

func TestLegacyFormsThatCannotBeReadAreRefused(t *testing.T) {
	t.Parallel()
	refusedBy(t, func() { codec.NewUnion(codec.Legacy("old", func(holds[fmt.Stringer]) event { return closed{} })) }, ".V is the interface")
	// What is lost in writing is no matter of a form that is only read.
	codec.NewUnion(codec.Legacy("old", func(holds[hidden]) event { return closed{} }), codec.Legacy("older", func(holds[twoNames]) event { return closed{} }))
}

// jsonOnly encodes itself as JSON and in no other way.
type jsonOnly struct{ n int }

func (j jsonOnly) MarshalJSON() ([]byte, error)     { return json.Marshal(j.n) }
func (j *jsonOnly) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &j.n) }

func TestWithFormatRefusesWhatTheFormatLoses(t *testing.T) {
	t.Parallel()
	union := codec.NewUnion(codec.Case(func(e holds[jsonOnly]) event { return e }))
	refusedBy(t, func() { union.WithFormat(cbor.Format) }, ".V.n is unexported")
	refusedBy(t, func() { codec.NewUnionIn(cbor.Format, codec.Case(func(e holds[jsonOnly]) event { return e })) }, ".V.n is unexported")
}

// Types that only one format can store need a union in it from the start, and so does a
// part of that union.
func TestUnionInAFormatOfItsOwn(t *testing.T) {
	t.Parallel()
	cases := codec.Case(func(e holds[map[[2]byte]bool]) event { return e })
	refusedBy(t, func() { codec.NewUnion(cases) }, ".V has keys of type [2]uint8")
	whole := codec.NewUnionIn(cbor.Format, cases)
	for _, u := range []*codec.Union[event]{whole, codec.Part(whole, cases)} {
		e := holds[map[[2]byte]bool]{map[[2]byte]bool{{1, 2}: true}}
		name, data, binary, err := u.Encode(e)
		if err != nil || !binary {
			t.Fatal(binary, err)
		}
		if back, err := u.Decode(name, data, binary); err != nil || !cmp.Equal(back, event(e)) {
			t.Errorf("got %v, %v", back, err)
		}
	}
}

func TestTextThatIsNotUTF8IsMalformed(t *testing.T) {
	t.Parallel()
	for path, e := range map[string]event{
		"deposited.Note": deposited{Note: "M\xfcller"}, "deposited.Lines[1]": deposited{Lines: []string{"a", "\xff"}},
		"deposited.Tags[k]": deposited{Tags: map[string]string{"k": "\xff"}}, "deposited.Tags (a key)": deposited{Tags: map[string]string{"\xff": ""}},
	} {
		_, _, _, err := newUnion().Encode(e)
		if !errors.Is(err, codec.ErrMalformed) || !strings.Contains(fmt.Sprint(err), path+" is not UTF-8") {
			t.Errorf("got error %v, want one about %s", err, path)
		}
	}
	for _, text := range []string{"\ufffd", `\ufffd`} { // these are text
		accepted(t, text)
	}
}

// In CBOR an object in a field of type any is a map of strings, as in JSON.
func TestCBORObjectsAreMapsOfStrings(t *testing.T) {
	t.Parallel()
	u := codec.NewUnion(codec.Case(func(e holds[any]) event { return e })).WithFormat(cbor.Format)
	want := event(holds[any]{map[string]any{"n": int64(1)<<53 + 1, "in": map[string]any{"a": []any{int64(-1)}}}})
	name, data, binary, err := u.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := u.Decode(name, data, binary); err != nil || !cmp.Equal(back, want) {
		t.Errorf("came back as %#v, %v", back, err)
	}
}
