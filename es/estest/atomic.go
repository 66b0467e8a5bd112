package estest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/peatlog/peat/es"
)

var atomicLaws = []law{
	{"an append with one bad event writes none of them", testBadEvent},
	{"an event over the size limit is refused", testTooLarge},
	{"a bad stream id is refused", testBadStream},
	{"a cancelled append leaves nothing", testCancelled},
	{"a cancelled append behind a lock leaves nothing", testCancelledWaiting},
}

// Row B28: nothing is written, no version is reserved, and a transaction stays usable.
func testBadEvent(t *testing.T, b Backend) {
	bad := map[string]es.EventData{
		"empty type":             {Data: []byte(`{}`)},
		"type with a NUL":        {Type: "a\x00b", Data: []byte(`{}`)},
		"type not UTF-8":         {Type: "a\xff", Data: []byte(`{}`)},
		"long type":              {Type: strings.Repeat("a", 300), Data: []byte(`{}`)},
		"no JSON":                {Type: "law.bad", Data: []byte(`{"a":`)},
		"two JSON values":        {Type: "law.bad", Data: []byte(`{} {}`)},
		"no payload":             {Type: "law.bad"},
		"JSON not UTF-8":         {Type: "law.bad", Data: []byte("\"\xff\"")},
		"JSON with a NUL":        {Type: "law.bad", Data: []byte(`"a\u0000b"`)},
		"JSON with a hidden NUL": {Type: "law.bad", Data: []byte(`"\\\u0000"`)},
		"metadata with a NUL":    {Type: "law.bad", Data: []byte(`{}`), Metadata: es.Metadata{Actor: "a\x00"}},
	}
	for name, e := range bad {
		t.Run(name, func(t *testing.T) {
			if _, err := b.Store.Append(t.Context(), stream, es.Any, event(1), e, event(2)); !errors.Is(err, es.ErrInvalidEvent) {
				t.Errorf("got error %v, want ErrInvalidEvent", err)
			}
			wantIDs(t, b.Store, stream)
			good := event(3)
			id := es.StreamID{Category: "law", Key: name}
			err := b.InTx(t.Context(), func(tx es.Tx) error {
				if _, err := tx.Append(t.Context(), id, es.NoStream, e); !errors.Is(err, es.ErrInvalidEvent) {
					t.Errorf("in a transaction: got error %v, want ErrInvalidEvent", err)
				}
				mustAppend(t, tx, id, es.NoStream, good)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			wantIDs(t, b.Store, id, good)
		})
	}
	// An escaped backslash before u0000 is six ordinary characters.
	fine := event(1)
	fine.Data = []byte(`"\\u0000"`)
	mustAppend(t, b.Store, stream, es.NoStream, fine)
}

func testTooLarge(t *testing.T, b Backend) {
	sized := func(n int) es.EventData {
		e := event(1)
		e.Data = fmt.Appendf(nil, `"%s"`, bytes.Repeat([]byte("x"), n-2))
		return e
	}
	fits := sized(MaxEventBytes)
	mustAppend(t, b.Store, stream, es.NoStream, fits)

	_, err := b.Store.Append(t.Context(), stream, es.Exact(1), event(1), sized(MaxEventBytes+1))
	tooLarge, ok := errors.AsType[*es.TooLargeError](err)
	if !ok || !errors.Is(err, es.ErrTooLarge) {
		t.Fatalf("got error %v, want ErrTooLarge", err)
	}
	if tooLarge.Size != MaxEventBytes+1 || tooLarge.Limit != MaxEventBytes || tooLarge.Stream != stream {
		t.Errorf("error carries %+v", *tooLarge)
	}
	withMetadata := sized(MaxEventBytes)
	withMetadata.Metadata.Actor = "a"
	if _, err := b.Store.Append(t.Context(), stream, es.Exact(1), withMetadata); !errors.Is(err, es.ErrTooLarge) {
		t.Errorf("metadata over the limit: got error %v, want ErrTooLarge", err)
	}
	wantIDs(t, b.Store, stream, fits)
}

// Defect W13: ids that could be confused do not exist.
func testBadStream(t *testing.T, b Backend) {
	for _, id := range []es.StreamID{
		{}, {Category: "a"}, {Key: "1"}, {Category: "a-b", Key: "1"}, {Category: "a\x00", Key: "1"},
		{Category: "a", Key: "\xff"}, {Category: "a", Key: "line\nbreak"}, {Category: "a", Key: strings.Repeat("k", 600)},
	} {
		if _, err := b.Store.Append(t.Context(), id, es.Any, event(1)); !errors.Is(err, es.ErrInvalidStream) {
			t.Errorf("append to %q: got error %v, want ErrInvalidStream", id, err)
		}
		for _, err := range b.Store.ReadStream(t.Context(), id, es.ReadOptions{}) {
			if !errors.Is(err, es.ErrInvalidStream) {
				t.Errorf("read %q: got error %v, want ErrInvalidStream", id, err)
			}
		}
		err := b.InTx(t.Context(), func(tx es.Tx) error {
			_, err := tx.LockStream(t.Context(), id)
			return err
		})
		if !errors.Is(err, es.ErrInvalidStream) {
			t.Errorf("lock %q: got error %v, want ErrInvalidStream", id, err)
		}
	}
}

func testCancelled(t *testing.T, b Backend) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Store.Append(ctx, stream, es.NoStream, event(1)); !errors.Is(err, context.Canceled) || errors.Is(err, es.ErrOutcomeUnknown) {
		t.Errorf("append: got error %v, want context.Canceled and a known outcome", err)
	}
	for _, err := range b.Store.ReadStream(ctx, stream, es.ReadOptions{}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("read: got error %v, want context.Canceled", err)
		}
	}
	if err := b.InTx(ctx, func(es.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("transaction: got error %v, want context.Canceled", err)
	}
	inTx, cancelInTx := context.WithCancel(t.Context())
	err := b.InTx(inTx, func(tx es.Tx) error {
		mustAppend(t, tx, stream, es.NoStream, event(1))
		cancelInTx()
		return nil
	})
	if err == nil {
		t.Error("a transaction whose context is cancelled before the commit commits")
	}
	e := event(2)
	mustAppend(t, b.Store, stream, es.NoStream, e) // nobody holds a lock any more
	wantIDs(t, b.Store, stream, e)
}

// Appends wait for a lock when their time is up: at once, or while they are on
// their way. Each answers before the lock is released, and the answer is true.
func testCancelledWaiting(t *testing.T, b Backend) {
	for _, patience := range []time.Duration{0, time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond} {
		id := es.StreamID{Category: "law", Key: patience.String()}
		var failure error
		err := b.InTx(t.Context(), func(tx es.Tx) error {
			if _, err := tx.LockStream(t.Context(), id); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
			defer cancel()
			answer := make(chan error, 1)
			go func() {
				_, err := b.Store.Append(ctx, id, es.NoStream, event(1))
				answer <- err
			}()
			select {
			case failure = <-answer:
				return nil
			case <-time.After(10 * time.Second):
				return errors.New("the append does not give up")
			}
		})
		if err != nil {
			t.Fatalf("after %v: %v", patience, err)
		}
		if !errors.Is(failure, context.DeadlineExceeded) {
			t.Errorf("after %v: got error %v, want context.DeadlineExceeded", patience, failure)
		}
		if n := len(read(t, b.Store, id, es.ReadOptions{})); n != 0 && !errors.Is(failure, es.ErrOutcomeUnknown) {
			t.Errorf("after %v: an append that failed with %v wrote %d events", patience, failure, n)
		}
	}
}
