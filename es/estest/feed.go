package estest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/es"
)

var feedLaws = []law{
	{"a feed delivers everything once and in order", testFeed},
	{"a feed delivers what its filter selects", testFeedFilter},
	{"segments are of about the same size", testFeedSegments},
	{"a feed of one long stream delivers all of it", testFeedStream},
	{"a feed goes on from any checkpoint", testFeedPrefix},
	{"a batch with more behind it can be followed at any time", testFeedMore},
	{"a feed with more to read comes to the end of what there was", testFeedEnds},
	{"a batch is bounded in bytes", testFeedBytes},
	{"a feed under concurrent writers loses and repeats nothing", testFeedConcurrent},
	{"a checkpoint of something else is refused", testFeedCheckpoint},
	{"a batch tells whether it moved", testFeedMoved},
	{"a checkpoint is stored if nobody else has stored one", testCheckpointRevision},
}

// follow reads the feed from a checkpoint until nothing comes, and returns the
// events and the last checkpoint.
func follow(t *testing.T, s es.Feed, from es.Checkpoint, opts es.FeedOptions) ([]es.Recorded, es.Checkpoint) {
	t.Helper()
	var all []es.Recorded
	for idle := 0; idle < 2; { // twice, as a filter may skip a window
		b, err := s.Feed(t.Context(), from, opts)
		if err != nil {
			t.Fatal(err)
		}
		if idle++; len(b.Events) > 0 {
			idle = 0
		}
		if opts.MaxEvents > 0 && len(b.Events) > opts.MaxEvents {
			t.Errorf("a batch of %d events, want at most %d", len(b.Events), opts.MaxEvents)
		}
		all, from = append(all, b.Events...), b.Next
	}
	return all, from
}

// Rows B14, B89.
func testFeed(t *testing.T, b Backend) {
	if got, cp := follow(t, b.Store, "", es.FeedOptions{}); len(got) > 0 {
		t.Errorf("an empty log delivers %d events, checkpoint %s", len(got), cp)
	}
	var want []int
	for n := range 25 {
		id := []es.StreamID{stream, other}[n%2]
		mustAppend(t, b.Store, id, es.Any, event(2*n), event(2*n+1))
		want = append(want, 2*n, 2*n+1)
	}
	for _, limit := range []int{0, 1, 7, 50} {
		got, cp := follow(t, b.Store, "", es.FeedOptions{MaxEvents: limit})
		if diff := cmp.Diff(want, numbers(t, got)); diff != "" {
			t.Errorf("limit %d (-want +got):\n%s", limit, diff)
		}
		if got[0].ID == got[1].ID || got[0].Stream != stream || got[2].Stream != other || got[0].Version != 1 || got[0].Type != "law.noted" {
			t.Errorf("limit %d: delivered %+v", limit, got[0])
		}
		more, _ := follow(t, b.Store, cp, es.FeedOptions{MaxEvents: limit})
		if len(more) > 0 {
			t.Errorf("limit %d: %d events come again", limit, len(more))
		}
	}
	_, cp := follow(t, b.Store, "", es.FeedOptions{})
	mustAppend(t, b.Store, stream, es.Any, event(50))
	if got, _ := follow(t, b.Store, cp, es.FeedOptions{}); len(got) != 1 || number(t, got[0]) != 50 {
		t.Errorf("behind the checkpoint: %v", numbers(t, got))
	}
}

func testFeedFilter(t *testing.T, b Backend) {
	third := es.StreamID{Category: "third", Key: "1"}
	ids := []es.StreamID{stream, other, third, {Category: "law", Key: "b"}, {Category: "law", Key: "c"}}
	for n := range 30 {
		e := event(n)
		e.Type = "law.type" + strconv.Itoa(n%3)
		mustAppend(t, b.Store, ids[n%len(ids)], es.Any, e)
	}
	all, end := follow(t, b.Store, "", es.FeedOptions{})
	for name, c := range map[string]struct {
		filter es.Filter
		fits   func(es.Recorded) bool
	}{
		"category":   {es.Filter{Categories: []string{"law"}}, func(r es.Recorded) bool { return r.Stream.Category == "law" }},
		"categories": {es.Filter{Categories: []string{"other", "third"}}, func(r es.Recorded) bool { return r.Stream.Category != "law" }},
		"one twice":  {es.Filter{Categories: []string{"other", "third", "other"}}, func(r es.Recorded) bool { return r.Stream.Category != "law" }},
		"many": {
			es.Filter{Categories: strings.Split("other third a b c d e f g h i j k l m n o p q", " ")},
			func(r es.Recorded) bool { return r.Stream.Category != "law" },
		},
		"type":   {es.Filter{Types: []string{"law.type1"}}, func(r es.Recorded) bool { return r.Type == "law.type1" }},
		"types":  {es.Filter{Types: []string{"law.type1", "law.type2"}}, func(r es.Recorded) bool { return r.Type != "law.type0" }},
		"stream": {es.Filter{Stream: other}, func(r es.Recorded) bool { return r.Stream == other }},
		"all at once": {
			es.Filter{Categories: []string{"law"}, Types: []string{"law.type0"}, Stream: stream},
			func(r es.Recorded) bool { return r.Stream == stream && r.Type == "law.type0" },
		},
		"nothing": {es.Filter{Types: []string{"law.never"}}, func(es.Recorded) bool { return false }},
	} {
		want := []int{}
		for _, r := range all {
			if c.fits(r) {
				want = append(want, number(t, r))
			}
		}
		got, cp := follow(t, b.Store, "", es.FeedOptions{Filter: c.filter, MaxEvents: 2})
		if diff := cmp.Diff(want, numbers(t, got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if cp == "" {
			t.Errorf("%s: the checkpoint does not advance over what is skipped", name)
		}
	}
	var parts []int
	streams := map[es.StreamID]int{}
	for segment := range 3 {
		got, _ := follow(t, b.Store, "", es.FeedOptions{Filter: es.Filter{Segment: segment, Segments: 3}})
		for _, r := range got {
			if in, seen := streams[r.Stream]; seen && in != segment {
				t.Errorf("%s is in the segments %d and %d", r.Stream, in, segment)
			}
			streams[r.Stream] = segment
			parts = append(parts, number(t, r))
		}
	}
	if slices.Sort(parts); !slices.Equal(parts, numbers(t, all)) {
		t.Errorf("the segments together deliver %v", parts)
	}
	for _, bad := range []es.FeedOptions{
		{Filter: es.Filter{Categories: []string{"a-b"}}}, {Filter: es.Filter{Segment: 3, Segments: 3}}, {Filter: es.Filter{Segment: 1}},
		{Filter: es.Filter{Stream: es.StreamID{Key: "1"}}}, {MaxEvents: -1}, {Horizon: 7},
	} {
		if _, err := b.Store.Feed(t.Context(), end, bad); err == nil {
			t.Errorf("the options %+v are taken", bad)
		}
	}
}

// However streams come to be, a subscription's segments have about as many of them.
func testFeedSegments(t *testing.T, b Backend) {
	const streams = 32
	ways := map[string]func(es.StreamID){
		"any": func(s es.StreamID) { mustAppend(t, b.Store, s, es.Any, event(1)) },
		"any, again": func(s es.StreamID) {
			mustAppend(t, b.Store, s, es.Any, event(1))
			mustAppend(t, b.Store, s, es.Any, event(1))
		},
		"new": func(s es.StreamID) { mustAppend(t, b.Store, s, es.NoStream, event(1)) },
		"new, and on": func(s es.StreamID) {
			mustAppend(t, b.Store, s, es.NoStream, event(1))
			mustAppend(t, b.Store, s, es.Exact(1), event(1))
		},
		"locked": func(s es.StreamID) {
			err := b.InTx(t.Context(), func(tx es.Tx) error {
				if _, err := tx.LockStream(t.Context(), s); err != nil {
					return err
				}
				mustAppend(t, tx, s, es.NoStream, event(1))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		},
	}
	category := 'a'
	for way, begin := range ways {
		for n := range streams {
			begin(es.StreamID{Category: string(category), Key: strconv.Itoa(n)})
		}
		for _, segments := range []int{2, 4} {
			for segment := range segments {
				filter := es.Filter{Categories: []string{string(category)}, Segment: segment, Segments: segments}
				got, _ := follow(t, b.Store, "", es.FeedOptions{Filter: filter})
				in := map[es.StreamID]bool{}
				for _, r := range got {
					in[r.Stream] = true
				}
				if fair := streams / segments; len(in) < fair/2 || len(in) > 2*fair {
					t.Errorf("%s: segment %d of %d has %d of %d streams", way, segment, segments, len(in), streams)
				}
			}
		}
		category++
	}
}

func testFeedStream(t *testing.T, b Backend) {
	const n = 450
	for from := 0; from < n; from += 150 {
		mustAppend(t, b.Store, stream, es.Any, numbered(from, 150)...)
		mustAppend(t, b.Store, other, es.Any, event(0))
	}
	for _, limit := range []int{7, 99, 100, 101, 449, 500} {
		got, cp := follow(t, b.Store, "", es.FeedOptions{Filter: es.Filter{Stream: stream}, MaxEvents: limit})
		for i, r := range got {
			if r.Version != int64(i+1) || number(t, r) != i || r.Stream != stream {
				t.Fatalf("limit %d: %s version %d comes as number %d", limit, r.Stream, r.Version, i+1)
			}
		}
		if len(got) != n {
			t.Errorf("limit %d: %d events, want %d", limit, len(got), n)
		}
		if again, _ := follow(t, b.Store, cp, es.FeedOptions{Filter: es.Filter{Stream: stream}}); len(again) > 0 {
			t.Errorf("limit %d: %d events come again", limit, len(again))
		}
	}
}

func testFeedPrefix(t *testing.T, b Backend) {
	mustAppend(t, b.Store, stream, es.NoStream, numbered(0, 10)...)
	batch, err := b.Store.Feed(t.Context(), "", es.FeedOptions{MaxEvents: 8})
	if err != nil || len(batch.Events) != 8 {
		t.Fatalf("%d events, %v", len(batch.Events), err)
	}
	for n := range 9 {
		rest, _ := follow(t, b.Store, batch.Prefix(n), es.FeedOptions{MaxEvents: 3})
		if len(rest) != 10-n || number(t, rest[0]) != n {
			t.Errorf("behind the first %d: %v", n, numbers(t, rest))
		}
	}
	if batch.Prefix(8) != batch.Next {
		t.Errorf("behind all: %s, want %s", batch.Prefix(8), batch.Next)
	}
}

// What a batch says of the next one holds whenever that is read.
func testFeedMore(t *testing.T, b Backend) {
	mustAppend(t, b.Store, stream, es.NoStream, numbered(0, 10)...)
	next := func(behind es.Checkpoint, opts es.FeedOptions) es.Batch {
		t.Helper()
		batch, err := b.Store.Feed(t.Context(), behind, opts)
		if err != nil {
			t.Fatal(err)
		}
		return batch
	}
	first := next("", es.FeedOptions{MaxEvents: 4})
	before := next(first.Next, es.FeedOptions{MaxEvents: 4})
	mustAppend(t, b.Store, stream, es.Any, event(10))
	after := next(first.Next, es.FeedOptions{MaxEvents: 4})
	if !first.More || !before.More {
		t.Errorf("of 10 events the first 4 have more behind them: %v, the first 8: %v", first.More, before.More)
	}
	if diff := cmp.Diff(numbers(t, before.Events), numbers(t, after.Events)); diff != "" {
		t.Errorf("read later, it is another batch (-early +late):\n%s", diff)
	}
	if bytes := next("", es.FeedOptions{MaxBytes: 1}); !bytes.More {
		t.Error("a batch that was cut for its bytes has nothing behind it")
	}
	if all := next("", es.FeedOptions{MaxEvents: 100}); all.More {
		t.Error("the whole log has more behind it")
	}
	_, end := follow(t, b.Store, "", es.FeedOptions{})
	if idle := next(end, es.FeedOptions{}); idle.More {
		t.Error("nothing has more behind it")
	}
}

// More events are appended between two batches than a batch delivers.
func testFeedEnds(t *testing.T, b Backend) {
	const events, limit = 10, 4
	mustAppend(t, b.Store, stream, es.NoStream, numbered(0, events)...)
	for _, horizon := range []es.Horizon{es.Committed, es.Settled} {
		for _, c := range []struct {
			name   string
			filter es.Filter
			events int // of stream
		}{
			{"all", es.Filter{}, events},
			{"selected", es.Filter{Categories: []string{stream.Category}, Types: []string{"law.noted"}}, events},
			{"none", es.Filter{Types: []string{"law.never"}}, 0},
		} {
			what := horizon.String() + ", " + c.name
			// What is in flight elsewhere on the server delays what is settled.
			eventually(t, what+": not delivered", func() bool {
				got, _ := follow(t, b.Store, "", es.FeedOptions{Filter: es.Filter{Stream: stream}, Horizon: horizon})
				return len(got) == events
			})
			opts := es.FeedOptions{Filter: c.filter, Horizon: horizon, MaxEvents: limit}
			there, err := b.Store.Lag(t.Context(), "", es.FeedOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var got []es.Recorded
			cp, batches := es.Checkpoint(""), 0
			for more := true; more; batches++ {
				if batches > there.Events/limit+2 {
					t.Fatalf("%s: more to read after %d batches, though there were %d events", what, batches, there.Events)
				}
				batch, err := b.Store.Feed(t.Context(), cp, opts)
				if err != nil {
					t.Fatal(err)
				}
				mustAppend(t, b.Store, other, es.Any, numbered(events, limit+1)...)
				got, cp, more = append(got, batch.Events...), batch.Next, batch.More
			}
			got = slices.DeleteFunc(got, func(r es.Recorded) bool { return r.Stream != stream })
			if want := numbersUpTo(c.events); !slices.Equal(want, numbers(t, got)) {
				t.Errorf("%s: up to the end came %v, want %v", what, numbers(t, got), want)
			}
			if rest, _ := follow(t, b.Store, cp, opts); slices.ContainsFunc(rest, func(r es.Recorded) bool { return r.Stream == stream }) {
				t.Errorf("%s: behind the end come again %v", what, numbers(t, rest))
			}
		}
	}
}

// numbersUpTo returns the payloads of numbered(0, n).
func numbersUpTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// Rows B15, B17, B73.
func testFeedBytes(t *testing.T, b Backend) {
	sized := func(n int) es.EventData {
		e := event(0)
		e.Data, e.Binary = make([]byte, n), true
		return e
	}
	mustAppend(t, b.Store, stream, es.NoStream, sized(1000), sized(1000), sized(1000), sized(5000), sized(10), sized(10))
	var sizes []int
	var cp es.Checkpoint
	for range 4 {
		batch, err := b.Store.Feed(t.Context(), cp, es.FeedOptions{MaxBytes: 2500})
		if err != nil {
			t.Fatal(err)
		}
		sizes, cp = append(sizes, len(batch.Events)), batch.Next
	}
	if want := []int{2, 1, 1, 2}; !slices.Equal(want, sizes) {
		t.Errorf("batches of %v events, want %v", sizes, want)
	}
}

func testFeedConcurrent(t *testing.T, b Backend) {
	const writers, appends = 8, 30
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := range appends {
				id := es.StreamID{Category: "law", Key: strconv.Itoa((w + n) % 3)}
				var err error
				if n%3 == 0 {
					err = b.InTx(t.Context(), func(tx es.Tx) error {
						if _, err := tx.Append(t.Context(), other, es.Any, event(n)); err != nil {
							return err
						}
						_, err := tx.Append(t.Context(), es.StreamID{Category: "z", Key: strconv.Itoa(w)}, es.Any, event(n))
						return err
					})
				} else {
					_, err = b.Store.Append(t.Context(), id, es.Any, event(n), event(n))
				}
				if err != nil {
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { all.Wait(); close(written) }()
	next := map[es.StreamID]int64{}
	total, cp := 0, es.Checkpoint("")
	for done := false; !done; {
		select {
		case <-written:
			done = true
		default:
		}
		var got []es.Recorded
		got, cp = follow(t, b.Store, cp, es.FeedOptions{MaxEvents: 5})
		for _, r := range got {
			if next[r.Stream]++; r.Version != next[r.Stream] {
				t.Fatalf("%s: version %d comes as number %d", r.Stream, r.Version, next[r.Stream])
			}
			total++
		}
	}
	if want := writers * appends * 2; total != want {
		t.Errorf("%d events delivered, want %d", total, want)
	}
}

func testFeedCheckpoint(t *testing.T, b Backend) {
	mustAppend(t, b.Store, stream, es.NoStream, event(1))
	for _, cp := range []es.Checkpoint{"x", "{}", "[]", `{"v": 99}`, `{"v": 1}`} {
		if batch, err := b.Store.Feed(t.Context(), cp, es.FeedOptions{}); !errors.Is(err, es.ErrCheckpoint) {
			t.Errorf("%s: %d events, error %v; want ErrCheckpoint", cp, len(batch.Events), err)
		}
	}
	_, cp := follow(t, b.Store, "", es.FeedOptions{})
	if !strings.HasPrefix(string(cp), "{") {
		t.Errorf("the checkpoint %s is not a JSON object", cp)
	}
}

// Moved: over what was delivered, over what was skipped, and not otherwise.
func testFeedMoved(t *testing.T, b Backend) {
	poll := func(behind es.Checkpoint, filter es.Filter, events int, moved bool) es.Checkpoint {
		t.Helper()
		batch, err := b.Store.Feed(t.Context(), behind, es.FeedOptions{Filter: filter})
		if err != nil || len(batch.Events) != events || batch.Moved != moved {
			t.Errorf("behind %s: %d events, moved %v, %v; want %d and %v", behind, len(batch.Events), batch.Moved, err, events, moved)
		}
		return batch.Next
	}
	never := es.Filter{Types: []string{"law.never"}}
	poll("", es.Filter{}, 0, false)
	cp := poll("", never, 0, false)
	mustAppend(t, b.Store, stream, es.NoStream, event(1))
	cp = poll(cp, es.Filter{}, 1, true)
	cp = poll(cp, es.Filter{}, 0, false)
	cp = poll(cp, never, 0, false)
	mustAppend(t, b.Store, stream, es.Any, event(2))
	cp = poll(cp, never, 0, true)
	for range 2 {
		cp = poll(cp, never, 0, false)
	}
	poll(poll("", never, 0, true), es.Filter{}, 0, false)
}

func testCheckpointRevision(t *testing.T, b Backend) {
	load := func(want es.Checkpoint, wantRevision int64) {
		t.Helper()
		wantCheckpoint(t, b.Store, "s", want, wantRevision)
	}
	save := func(revision int64, cp es.Checkpoint, stored bool) {
		t.Helper()
		err := b.Store.SaveProgress(t.Context(), es.Progress{Subscription: "s", Revision: revision, Checkpoint: cp})
		if !stored {
			wantStale(t, err, "s", revision)
		} else if err != nil {
			t.Errorf("saved over revision %d: %v", revision, err)
		}
	}
	load("", 0)
	save(1, `{"v":1}`, false)
	load("", 0)
	save(0, `{"v":1}`, true)
	save(0, `{"v":2}`, false)
	load(`{"v":1}`, 1)
	save(1, `{"v":3}`, true)
	save(1, `{"v":4}`, false)
	load(`{"v":3}`, 2)
	save(2, "", true) // a reset
	load("", 3)
	save(0, `{"v":5}`, false)

	var stored atomic.Int32
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			err := b.Store.SaveProgress(t.Context(), es.Progress{Subscription: "race", Checkpoint: es.Checkpoint(fmt.Sprintf(`{"v":%d}`, n))})
			if err == nil {
				stored.Add(1)
			} else if !errors.Is(err, es.ErrStaleCheckpoint) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := stored.Load(); n != 1 {
		t.Errorf("%d of 8 first checkpoints were stored", n)
	}
}
