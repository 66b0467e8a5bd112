package estest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/es"
)

var readLaws = []law{
	{"a stream reads forward and backward, from and up to", testReadStream},
	{"the log reads forward and backward, from and up to", testReadAll},
	{"a read goes on over any number of pages", testReadPages},
	{"a read may be broken off", testReadBreak},
	{"the body of a read may use the store", testReadNested},
	{"positions grow inside a stream and from cause to effect", testPositions},
}

// readAll returns what ReadAll yields.
func readAll(t *testing.T, s es.LogReader, opts es.ReadAllOptions) []es.Recorded {
	t.Helper()
	var all []es.Recorded
	for rec, err := range s.ReadAll(t.Context(), opts) {
		if err != nil {
			t.Fatalf("read the log: %v", err)
		}
		all = append(all, rec)
	}
	return all
}

func numbers(t *testing.T, all []es.Recorded) []int {
	t.Helper()
	got := make([]int, 0, len(all))
	for _, rec := range all {
		got = append(got, number(t, rec))
	}
	return got
}

// Defect W19: a backward read can be continued behind its first page.
func testReadStream(t *testing.T, b Backend) {
	if got := read(t, b.Store, stream, es.ReadOptions{}); len(got) != 0 {
		t.Errorf("an unknown stream has %d events", len(got))
	}
	mustAppend(t, b.Store, other, es.NoStream, numbered(100, 3)...)
	mustAppend(t, b.Store, stream, es.NoStream, numbered(1, 10)...)
	for _, c := range []struct {
		opts es.ReadOptions
		want []int
	}{
		{es.ReadOptions{}, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		{es.ReadOptions{From: 1, Limit: 10}, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		{es.ReadOptions{From: 8}, []int{8, 9, 10}},
		{es.ReadOptions{From: 3, Limit: 2}, []int{3, 4}},
		{es.ReadOptions{From: 9, Limit: 5}, []int{9, 10}},
		{es.ReadOptions{From: 11}, []int{}},
		{es.ReadOptions{From: 1000}, []int{}},
		{es.ReadOptions{Limit: 1}, []int{1}},
		{es.ReadOptions{Backward: true}, []int{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}},
		{es.ReadOptions{Backward: true, From: 7, Limit: 3}, []int{7, 6, 5}},
		{es.ReadOptions{Backward: true, From: 4, Limit: 3}, []int{4, 3, 2}},
		{es.ReadOptions{Backward: true, From: 1}, []int{1}},
		{es.ReadOptions{Backward: true, From: 1000, Limit: 2}, []int{10, 9}},
	} {
		for name, reader := range map[string]func(func(es.StreamReader)){
			"direct": func(f func(es.StreamReader)) { f(b.Store) },
			"in a transaction": func(f func(es.StreamReader)) {
				if err := b.InTx(t.Context(), func(tx es.Tx) error { f(tx); return nil }); err != nil {
					t.Fatal(err)
				}
			},
		} {
			reader(func(s es.StreamReader) {
				if diff := cmp.Diff(c.want, numbers(t, read(t, s, stream, c.opts))); diff != "" {
					t.Errorf("%s, %+v (-want +got):\n%s", name, c.opts, diff)
				}
			})
		}
	}
}

func testReadAll(t *testing.T, b Backend) {
	if got := readAll(t, b.Store, es.ReadAllOptions{Backward: true}); len(got) != 0 {
		t.Errorf("an empty log has %d events", len(got))
	}
	last := map[int]int64{}
	for i := 1; i <= 9; i++ {
		id := stream
		if i%3 == 0 {
			id = other
		}
		last[i] = mustAppend(t, b.Store, id, es.Any, event(i)).Position
	}
	for _, c := range []struct {
		opts es.ReadAllOptions
		want []int
	}{
		{es.ReadAllOptions{}, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{es.ReadAllOptions{From: last[4]}, []int{4, 5, 6, 7, 8, 9}},
		{es.ReadAllOptions{From: last[4] + 1, Limit: 2}, []int{5, 6}},
		{es.ReadAllOptions{From: last[9] + 1}, []int{}},
		{es.ReadAllOptions{Category: "other"}, []int{3, 6, 9}},
		{es.ReadAllOptions{Category: "law", From: last[5], Limit: 2}, []int{5, 7}},
		{es.ReadAllOptions{Category: "nobody"}, []int{}},
		{es.ReadAllOptions{Backward: true}, []int{9, 8, 7, 6, 5, 4, 3, 2, 1}},
		{es.ReadAllOptions{Backward: true, From: last[4], Limit: 2}, []int{4, 3}},
		{es.ReadAllOptions{Backward: true, Category: "other", Limit: 2}, []int{9, 6}},
	} {
		if diff := cmp.Diff(c.want, numbers(t, readAll(t, b.Store, c.opts))); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.opts, diff)
		}
	}
	for _, rec := range readAll(t, b.Store, es.ReadAllOptions{}) {
		if want := map[bool]es.StreamID{true: other, false: stream}[number(t, rec)%3 == 0]; rec.Stream != want {
			t.Errorf("event %d is on %s, want %s", number(t, rec), rec.Stream, want)
		}
	}
	for _, err := range b.Store.ReadAll(t.Context(), es.ReadAllOptions{Category: "a-b"}) {
		if err == nil {
			t.Error("a bad category is read")
		}
	}
}

// Rows B15, B17, B18, B19: pages are cut by rows and by bytes, an event larger
// than a page included, and nothing is skipped.
func testReadPages(t *testing.T, b Backend) {
	const small, large = 3007, 40
	var want []int
	version := int64(0)
	add := func(events ...es.EventData) {
		version = mustAppend(t, b.Store, stream, es.Exact(version), events...).Version
		for range events {
			want = append(want, len(want)+1)
		}
	}
	add(numbered(1, small)...)
	for n := range large {
		e := event(0)
		e.Data = fmt.Appendf(nil, `{"n": %d, "pad": "%s"}`, small+n+1, bytes.Repeat([]byte("x"), MaxEventBytes-1000))
		add(e)
	}
	add(numbered(small+large+1, 100)...)
	if diff := cmp.Diff(want, numbers(t, read(t, b.Store, stream, es.ReadOptions{}))); diff != "" {
		t.Errorf("stream forward (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, numbers(t, readAll(t, b.Store, es.ReadAllOptions{Category: "law"}))); diff != "" {
		t.Errorf("category forward (-want +got):\n%s", diff)
	}
	slices.Reverse(want)
	if diff := cmp.Diff(want, numbers(t, read(t, b.Store, stream, es.ReadOptions{Backward: true}))); diff != "" {
		t.Errorf("stream backward (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, numbers(t, readAll(t, b.Store, es.ReadAllOptions{Backward: true}))); diff != "" {
		t.Errorf("log backward (-want +got):\n%s", diff)
	}
}

// More broken reads than there are connections: each gives its own back.
func testReadBreak(t *testing.T, b Backend) {
	mustAppend(t, b.Store, stream, es.NoStream, numbered(1, 300)...)
	for range 100 {
		for rec, err := range b.Store.ReadStream(t.Context(), stream, es.ReadOptions{}) {
			if err != nil || rec.Version != 1 {
				t.Fatalf("version %d, error %v", rec.Version, err)
			}
			break
		}
		for _, err := range b.Store.ReadAll(t.Context(), es.ReadAllOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	mustAppend(t, b.Store, stream, es.Exact(300), event(301))
}

func testReadNested(t *testing.T, b Backend) {
	mustAppend(t, b.Store, stream, es.NoStream, numbered(1, 5)...)
	copyTo := func(s es.Store, id es.StreamID) {
		for rec, err := range s.ReadStream(t.Context(), stream, es.ReadOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			mustAppend(t, s, id, es.Exact(rec.Version-1), es.EventData{Type: rec.Type, Data: rec.Data})
		}
	}
	copyTo(b.Store, other)
	third := es.StreamID{Category: "third", Key: "1"}
	if err := b.InTx(t.Context(), func(tx es.Tx) error { copyTo(tx, third); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, id := range []es.StreamID{other, third} {
		if diff := cmp.Diff([]int{1, 2, 3, 4, 5}, numbers(t, read(t, b.Store, id, es.ReadOptions{}))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
}

func testPositions(t *testing.T, b Backend) {
	last := int64(0)
	for i := range 20 {
		id := []es.StreamID{stream, other}[i%2]
		result := mustAppend(t, b.Store, id, es.Any, event(i), event(i))
		if result.Position <= last {
			t.Errorf("append %d got position %d after %d", i, result.Position, last)
		}
		last = result.Position
	}
	positions := map[es.StreamID]int64{}
	for _, rec := range readAll(t, b.Store, es.ReadAllOptions{}) {
		if rec.Version != positions[rec.Stream]+1 {
			t.Errorf("%s: version %d follows %d in the order of positions", rec.Stream, rec.Version, positions[rec.Stream])
		}
		positions[rec.Stream] = rec.Version
	}
}
