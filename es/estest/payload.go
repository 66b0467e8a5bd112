package estest

import (
	"bytes"
	"context"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

var payloadLaws = []law{
	{"payloads and metadata come back as they were", testRoundTrip},
	{"the metadata of the context goes with the events", testContextMetadata},
	{"a recorded event says where and when it is", testRecorded},
}

// payloads are JSON texts that a store must give back with equal meaning, all
// digits of all numbers included.
func payloads() map[string]string {
	return map[string]string{
		"empty object":     `{}`,
		"empty string":     `""`,
		"null":             `null`,
		"unicode":          `{"name": "Žofie 🐎 \u202e عربى", "nfd": "é", "quote": "\"'\\/"}`,
		"control":          `"\u0001\t\n\u007f"`,
		"large":            `"` + strings.Repeat("šířka ", 20_000) + `"`,
		"wide":             "[" + strings.Repeat("1,", 20_000) + "1]",
		"deep":             strings.Repeat(`{"a":[`, 500) + strings.Repeat("]}", 500),
		"beyond 2^53":      `[9007199254740993, -9223372036854775808, 18446744073709551615]`,
		"beyond 2^64":      `123456789012345678901234567890`,
		"precise":          `0.1234567890123456789012345678901234567890`,
		"huge and tiny":    `[1e400, -1.5e-300]`,
		"equal keys apart": `{"a": 1, "A": 2, "á": 3}`,
	}
}

// Rows B26, B27: every mode, outside and inside a transaction.
func testRoundTrip(t *testing.T, b Backend) {
	metadata := es.Metadata{
		CorrelationID: "c-1", CausationID: `"quoted" \ and null`, Actor: "Žofie 🐎",
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Values:      map[string]string{"": "empty key", "k": "", "ключ": "значение\n"},
	}
	var events []es.EventData
	for name, text := range payloads() {
		events = append(events, es.EventData{Type: "law." + name, Data: []byte(text), Metadata: metadata})
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, blob := range [][]byte{all, {}, {0}, bytes.Repeat(all, 500)} {
		events = append(events, es.EventData{Type: "law.binary", Data: blob, Binary: true})
	}
	direct := func(f func(es.Appender)) { f(b.Store) }
	inTx := func(f func(es.Appender)) {
		if err := b.InTx(t.Context(), func(tx es.Tx) error { f(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for path, run := range map[string]func(func(es.Appender)){"direct": direct, "in a transaction": inTx} {
		for name, expected := range map[string]es.Expected{"none": es.NoStream, "exact": es.Exact(1), "any": es.Any, "exists": es.StreamExists} {
			t.Run(path+"/"+name, func(t *testing.T) {
				id := es.StreamID{Category: "law", Key: path + name}
				want := events
				if expected != es.NoStream {
					head := event(1)
					mustAppend(t, b.Store, id, es.NoStream, head)
					want = append([]es.EventData{head}, events...)
				}
				run(func(s es.Appender) { mustAppend(t, s, id, expected, events...) })
				wantEvents(t, read(t, b.Store, id, es.ReadOptions{}), want)
			})
		}
	}
}

// wantEvents compares recorded events with what was appended.
func wantEvents(t *testing.T, got []es.Recorded, want []es.EventData) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.Type != w.Type || g.Binary != w.Binary {
			t.Errorf("event %d is %s, binary %v; want %s, %v", i+1, g.Type, g.Binary, w.Type, w.Binary)
			continue
		}
		if diff := cmp.Diff(w.Metadata, g.Metadata, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("metadata of %s (-want +got):\n%s", w.Type, diff)
		}
		if w.Binary && !bytes.Equal(w.Data, g.Data) || !w.Binary && meaning(t, w.Data) != meaning(t, g.Data) {
			t.Errorf("payload of %s:\nwant %.200q\ngot  %.200q", w.Type, w.Data, g.Data)
		}
	}
}

// meaning prints a JSON text in a normal form: keys sorted, numbers as exact
// fractions.
func meaning(t *testing.T, text []byte) string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%.100q: %v", text, err)
	}
	var exact func(v any) any
	exact = func(v any) any {
		switch v := v.(type) {
		case json.Number:
			r, ok := new(big.Rat).SetString(v.String())
			if !ok {
				t.Fatalf("number %s", v)
			}
			return "number " + r.RatString()
		case []any:
			for i := range v {
				v[i] = exact(v[i])
			}
		case map[string]any:
			for k := range v {
				v[k] = exact(v[k])
			}
		}
		return v
	}
	normal, err := json.Marshal(exact(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(normal)
}

func testContextMetadata(t *testing.T, b Backend) {
	ctx := es.WithMetadata(t.Context(), es.Metadata{Actor: "outer", CorrelationID: "c", Values: map[string]string{"a": "outer", "b": "outer"}})
	ctx = es.WithMetadata(ctx, es.Metadata{Actor: "ctx", Values: map[string]string{"a": "ctx"}})
	ownMetadata := es.Metadata{Actor: "own", Values: map[string]string{"c": "own"}}
	own := event(2)
	own.ID, own.Metadata = uuid.Nil, ownMetadata
	appendBoth := func(ctx context.Context, s es.Appender) error {
		_, err := s.Append(ctx, stream, es.Any, event(1), own)
		return err
	}
	if err := appendBoth(ctx, b.Store); err != nil {
		t.Fatal(err)
	}
	if err := b.InTx(ctx, func(tx es.Tx) error { return appendBoth(ctx, tx) }); err != nil {
		t.Fatal(err)
	}
	want := []es.Metadata{
		{Actor: "ctx", CorrelationID: "c", Values: map[string]string{"a": "ctx", "b": "outer"}},
		{Actor: "own", CorrelationID: "c", Values: map[string]string{"a": "ctx", "b": "outer", "c": "own"}},
	}
	var got []es.Metadata
	for _, rec := range read(t, b.Store, stream, es.ReadOptions{}) {
		got = append(got, rec.Metadata)
	}
	if diff := cmp.Diff(append(want, want[0]), got[:3]); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(es.Metadata{Actor: "own", Values: map[string]string{"c": "own"}}, own.Metadata); diff != "" {
		t.Errorf("the caller's event was changed:\n%s", diff)
	}
}

func testRecorded(t *testing.T, b Backend) {
	before := time.Now().Add(-time.Minute)
	e := event(7)
	result := mustAppend(t, b.Store, stream, es.NoStream, e)
	want := es.Recorded{Position: result.Position, Stream: stream, Version: 1, ID: e.ID, Type: "law.noted"}
	for name, seq := range map[string][]es.Recorded{
		"stream": read(t, b.Store, stream, es.ReadOptions{}), "log": readAll(t, b.Store, es.ReadAllOptions{}),
	} {
		if len(seq) != 1 {
			t.Fatalf("%s: %d events", name, len(seq))
		}
		got := seq[0]
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(es.Recorded{}, "Data", "RecordedAt")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if got.RecordedAt.Before(before) || got.RecordedAt.After(time.Now().Add(time.Minute)) {
			t.Errorf("%s: recorded at %v", name, got.RecordedAt)
		}
		if number(t, got) != 7 {
			t.Errorf("%s: payload %s", name, got.Data)
		}
	}
}
