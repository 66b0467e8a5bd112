package estest

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/es"
)

var damageLaws = []law{
	{"a hole in a stream is reported as corruption", testHole},
	{"migrating again and at once changes nothing", testReopen},
}

// Rows B21, B23, B41: a missing event, wherever it is, ends the read with an
// error that says which, and what is yielded before has no hole.
func testHole(t *testing.T, b Backend) {
	for name, c := range map[string]struct {
		deleted []int64
		opts    es.ReadOptions
		before  int // events yielded before the error
		want    es.CorruptStreamError
	}{
		"first":           {[]int64{1}, es.ReadOptions{}, 0, es.CorruptStreamError{Missing: 1, Next: 2, Head: 7}},
		"middle":          {[]int64{4}, es.ReadOptions{}, 3, es.CorruptStreamError{Missing: 4, Next: 5, Head: 7}},
		"last":            {[]int64{7}, es.ReadOptions{}, 6, es.CorruptStreamError{Missing: 7, Head: 7}},
		"last two":        {[]int64{6, 7}, es.ReadOptions{}, 5, es.CorruptStreamError{Missing: 6, Head: 7}},
		"all":             {[]int64{1, 2, 3, 4, 5, 6, 7}, es.ReadOptions{}, 0, es.CorruptStreamError{Missing: 1, Head: 7}},
		"behind from":     {[]int64{5}, es.ReadOptions{From: 3}, 2, es.CorruptStreamError{Missing: 5, Next: 6, Head: 7}},
		"backward":        {[]int64{5}, es.ReadOptions{Backward: true}, 2, es.CorruptStreamError{Missing: 5, Next: 4, Head: 7}},
		"backward, last":  {[]int64{7}, es.ReadOptions{Backward: true}, 0, es.CorruptStreamError{Missing: 7, Next: 6, Head: 7}},
		"backward, first": {[]int64{1}, es.ReadOptions{Backward: true}, 6, es.CorruptStreamError{Missing: 1, Head: 7}},
	} {
		t.Run(name, func(t *testing.T) {
			id := es.StreamID{Category: "law", Key: name}
			mustAppend(t, b.Store, id, es.NoStream, numbered(1, 7)...)
			for _, version := range c.deleted {
				if err := b.DeleteEvent(t.Context(), id, version); err != nil {
					t.Fatal(err)
				}
			}
			yielded := 0
			var failure error
			for _, err := range b.Store.ReadStream(t.Context(), id, c.opts) {
				if failure != nil {
					t.Fatal("something was yielded after the error")
				}
				if failure = err; err == nil {
					yielded++
				}
			}
			corrupt, ok := errors.AsType[*es.CorruptStreamError](failure)
			if !ok || !errors.Is(failure, es.ErrCorruptStream) {
				t.Fatalf("got error %v, want ErrCorruptStream", failure)
			}
			c.want.Stream = id
			if diff := cmp.Diff(c.want, *corrupt); diff != "" || yielded != c.before {
				t.Errorf("%d events before the error, want %d; error (-want +got):\n%s", yielded, c.before, diff)
			}
		})
	}
}

// Row B85.
func testReopen(t *testing.T, b Backend) {
	e := event(1)
	mustAppend(t, b.Store, stream, es.NoStream, e)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			again, err := b.Reopen(t.Context())
			if err != nil {
				t.Errorf("reopen: %v", err)
				return
			}
			wantIDs(t, again, stream, e)
		})
	}
	all.Wait()
	mustAppend(t, b.Store, stream, es.Exact(1), event(2))
}
