package es_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/peatlog/peat/es"
)

// Defect W13: different ids never print alike.
func TestStreamIDPrintsAndParses(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := es.StreamID{Category: rapid.String().Draw(t, "category"), Key: rapid.String().Draw(t, "key")}
		if id.Validate() != nil {
			if parsed, err := es.ParseStreamID(id.String()); err == nil && parsed == id {
				t.Errorf("%q is invalid and parses", id)
			}
			return
		}
		parsed, err := es.ParseStreamID(id.String())
		if err != nil || parsed != id {
			t.Errorf("%+v prints as %q, which parses to %+v, %v", id, id, parsed, err)
		}
		text, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		var back es.StreamID
		if err := json.Unmarshal(text, &back); err != nil || back != id {
			t.Errorf("%s reads back as %+v, %v", text, back, err)
		}
	})
}

func TestStreamIDRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "account", "-42", "account-", "a\nb-1", "a-\x00", "a-\xff", "a-" + strings.Repeat("k", 511), strings.Repeat("c", 257) + "-1"} {
		if id, err := es.ParseStreamID(s); !errors.Is(err, es.ErrInvalidStream) {
			t.Errorf("%.20q parses to %+v, error %v", s, id, err)
		}
	}
	for _, s := range []string{"account-42", "a--", "a-b-c", "účet-Žofie 🐎", "a-" + strings.Repeat("k", 510)} {
		if _, err := es.ParseStreamID(s); err != nil {
			t.Errorf("%.20q: %v", s, err)
		}
	}
	if _, err := (es.StreamID{Category: "a-b", Key: "c"}).MarshalText(); !errors.Is(err, es.ErrInvalidStream) {
		t.Errorf("an invalid id marshals, error %v", err)
	}
}

func TestExpectedAdmits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		expected es.Expected
		admits   [3]bool // at version 0, 1, 2
		text     string
	}{
		{es.NoStream, [3]bool{true, false, false}, "no stream"},
		{es.Exact(0), [3]bool{true, false, false}, "no stream"},
		{es.Exact(1), [3]bool{false, true, false}, "version 1"},
		{es.Any, [3]bool{true, true, true}, "any version"},
		{es.StreamExists, [3]bool{false, true, true}, "an existing stream"},
		{es.Exact(-1), [3]bool{false, false, false}, "an invalid version"},
	} {
		for actual, want := range c.admits {
			if got := c.expected.Admits(int64(actual)); got != want {
				t.Errorf("%v admits %d: %v", c.expected, actual, got)
			}
		}
		if c.expected.String() != c.text {
			t.Errorf("prints as %q, want %q", c.expected, c.text)
		}
	}
}

func TestMetadataTravelsInTheContext(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	if !es.MetadataFrom(ctx).IsZero() || es.CommandID(ctx) != "" {
		t.Error("an empty context carries something")
	}
	outer := map[string]string{"a": "1", "b": "1"}
	ctx = es.WithMetadata(ctx, es.Metadata{Actor: "ann", TraceParent: "00-1", Values: outer})
	inner := es.WithMetadata(ctx, es.Metadata{Actor: "bob", CausationID: "c", Values: map[string]string{"a": "2"}})
	want := es.Metadata{Actor: "bob", CausationID: "c", TraceParent: "00-1", Values: map[string]string{"a": "2", "b": "1"}}
	if diff := cmp.Diff(want, es.MetadataFrom(inner)); diff != "" {
		t.Errorf("inner (-want +got):\n%s", diff)
	}
	if got := es.MetadataFrom(ctx); got.Actor != "ann" || outer["a"] != "1" {
		t.Errorf("the outer context changed: %+v", got)
	}
	ctx = es.WithCommandID(ctx, "cmd")
	if es.CommandID(ctx) != "cmd" || es.CommandID(es.WithCommandID(ctx, "")) != "" {
		t.Error("the command id does not travel")
	}
}

// upper decodes its payload to an event, and refuses "bad".
type upper struct{}

type shout string

func (shout) EventType() string { return "shout" }

var errBad = errors.New("bad payload")

func (upper) Decode(_ string, data []byte, _ bool) (shout, error) {
	if string(data) == "bad" {
		return "", errBad
	}
	return shout(strings.ToUpper(string(data))), nil
}

// Row B22: whoever reads the error finds the event.
func TestDecodeNamesTheEventItCannotDecode(t *testing.T) {
	t.Parallel()
	rec := es.Recorded{Position: 9, Stream: es.StreamID{Category: "a", Key: "1"}, Version: 3, Type: "shout", Data: []byte("hi")}
	env, err := es.Decode(upper{}, rec)
	if err != nil || env.Event != "HI" || env.Version != 3 {
		t.Errorf("got %+v, %v", env, err)
	}
	rec.Data = []byte("bad")
	_, err = es.Decode(upper{}, rec)
	decode, ok := errors.AsType[*es.DecodeError](err)
	if !ok || !errors.Is(err, es.ErrDecode) || !errors.Is(err, errBad) {
		t.Fatalf("got error %v, want a DecodeError around the cause", err)
	}
	if decode.Stream != rec.Stream || decode.Version != 3 || decode.Position != 9 || decode.Type != "shout" {
		t.Errorf("error carries %+v", *decode)
	}
	if want := "undecodable event: a-1 version 3 (shout): bad payload"; err.Error() != want {
		t.Errorf("error reads %q, want %q", err, want)
	}
}

func ExampleWithMetadata() {
	ctx := es.WithMetadata(context.Background(), es.Metadata{Actor: "ann", CorrelationID: "request-7"})
	// Every append with ctx, and every aggregate saved with it, carries both.
	fmt.Println(es.MetadataFrom(ctx).Actor)
	// Output: ann
}

func ExampleParseStreamID() {
	id, err := es.ParseStreamID("account-0190c5e2-aaaa")
	fmt.Println(id.Category, id.Key, err)
	_, err = es.ParseStreamID("account")
	fmt.Println(err)
	// Output:
	// account 0190c5e2-aaaa <nil>
	// invalid stream id "account": want category-key, such as account-42
}
