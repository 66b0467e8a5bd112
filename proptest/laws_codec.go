package proptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"

	"pgregory.net/rapid"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
)

// Codec is what [CheckCodec] judges. A *codec.Union is one.
type Codec[E es.Event] interface {
	es.Decoder[E]
	Encode(e E) (eventType string, data []byte, binary bool, err error)
	Names() []string
}

// Stored is a payload as it is in some log, perhaps for years, and what it means today.
type Stored[E es.Event] struct {
	Name    string
	Payload string
	Binary  bool
	Event   E
}

// CheckCodec holds a codec to its laws and fails t with a small example where one is
// broken:
//
//   - Every event of every case comes back as it was, under the name that its EventType
//     says, also when a store has brought its JSON into another form.
//   - Every stored payload is read as what it means.
//   - Every name that the codec knows is a case's or a stored payload's.
//   - A name that it does not know is codec.ErrUnknownEvent, and no bytes make it panic.
func CheckCodec[E es.Event](t rapid.TB, c Codec[E], cases Events[E], stored ...Stored[E]) {
	t.Helper()
	names := c.Names()
	left := slices.Clone(names)
	covered := func(name string) {
		left = slices.DeleteFunc(left, func(n string) bool { return n == name })
	}
	for _, ec := range cases {
		covered(ec.name)
		rapid.Check(t, func(t *rapid.T) { roundTrip(t, c, ec.values.Draw(t, "event")) })
	}
	rapid.Check(t, func(t *rapid.T) { undecodable(t, c, names) }) // before anything fails, or rapid refuses
	for _, s := range stored {
		covered(s.Name)
		got, err := c.Decode(s.Name, []byte(s.Payload), s.Binary)
		if err != nil {
			t.Errorf("the stored %s %q cannot be read any more: %v", s.Name, s.Payload, err)
		} else if d := diff(s.Event, got); d != "" {
			t.Errorf("the stored %s %q is read as something else (-want +got):\n%s", s.Name, s.Payload, d)
		}
	}
	for _, name := range left {
		t.Errorf("%s is neither a case nor a stored payload of this test: add a proptest.Case, or a proptest.Stored for what is only read", name)
	}
}

func roundTrip[E es.Event](t *rapid.T, c Codec[E], e E) {
	name, data, binary, err := c.Encode(e)
	if err != nil {
		t.Fatalf("%T cannot be encoded: %v", e, err)
	}
	if name != e.EventType() {
		t.Fatalf("%T is stored as %q, and its EventType is %q", e, name, e.EventType())
	}
	forms := map[string][]byte{"as it was encoded": data}
	if !binary {
		forms["in a store's form"] = storeForm(t, name, data)
	}
	for form, data := range forms {
		back, err := c.Decode(name, data, binary)
		if err != nil {
			t.Fatalf("%T cannot be decoded %s, %q: %v", e, form, data, err)
		}
		if d := diff(e, back); d != "" {
			t.Fatalf("%T does not come back from %q, %s (-recorded +read):\n%s", e, data, form, d)
		}
	}
}

// storeForm brings a JSON text into another form with the same meaning, as jsonb does:
// other spaces, and keys in another order.
func storeForm(t *rapid.T, name string, data []byte) []byte {
	var v any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s is encoded as %q, which is not JSON: %v", name, data, err)
	}
	sorted, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatalf("%s is encoded as %q, which JSON cannot hold: %v", name, data, err)
	}
	return sorted
}

func undecodable[E es.Event](t *rapid.T, c Codec[E], names []string) {
	name, data, binary := rapid.String().Draw(t, "name"), rapid.SliceOf(rapid.Byte()).Draw(t, "data"), rapid.Bool().Draw(t, "binary")
	if slices.Contains(names, name) {
		return
	}
	var err error
	if p := guard(func() { _, err = c.Decode(name, []byte("{}"), false) }); p != nil || !errors.Is(err, codec.ErrUnknownEvent) {
		t.Fatalf("the unknown name %q: panic %v, error %v; want codec.ErrUnknownEvent", name, p, err)
	}
	if len(names) == 0 {
		return
	}
	known := rapid.SampledFrom(names).Draw(t, "known name")
	if p := guard(func() { _, err = c.Decode(known, data, binary) }); p != nil {
		t.Fatalf("%s panics on the payload %q: %v", known, data, p)
	}
}
