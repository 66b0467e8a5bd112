package live

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/internal/backends"
)

func TestAListenerHearsWhatComesAndNotWhatWas(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		t.Helper()
		store, ok := b.Store.(Store)
		if !ok {
			t.Fatalf("%T is no store to follow", b.Store)
		}
		write := func(events ...es.EventData) {
			if _, err := b.Store.Append(t.Context(), es.StreamID{Category: "account", Key: "ann"}, es.Any, events...); err != nil {
				t.Fatal(err)
			}
		}
		write(es.EventData{Type: "account.opened", Data: []byte(`{"holder":"Ann"}`)})
		batch, err := store.Feed(t.Context(), "", es.FeedOptions{})
		if err != nil {
			t.Fatal(err)
		}
		f := New()
		events, _, stop, err := f.Listen()
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		failed := false
		go func() {
			done <- f.Follow(ctx, store, func(context.Context) (es.Checkpoint, error) {
				if !failed { // errors are tried again
					failed = true
					return "", errors.New("not now")
				}
				return batch.Next, nil
			})
		}()
		write(es.EventData{Type: "account.deposited", Data: []byte(`{"amount":1234}`)},
			es.EventData{Type: "account.deposited", Data: []byte(`{"amount":"lots"}`)})
		first, second := <-events, <-events
		if first.Version != 2 || first.What != "deposit" || first.Change != 12_34 || !first.Moves {
			t.Errorf("heard first: %+v", first)
		}
		if second.Version != 3 || second.What != "an event that cannot be read" || second.Moves {
			t.Errorf("heard second: %+v", second)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("follow: %v", err)
		}
	})
}

func TestAListenerThatIsTooSlowIsLetGoAndNobodyWaits(t *testing.T) {
	t.Parallel()
	f := New()
	slow, _, stopSlow, err := f.Listen()
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		for i := range backlog + 10 {
			f.tell(Event{Position: int64(i)})
		}
	}()
	select {
	case <-told:
	case <-time.After(time.Minute):
		t.Fatal("a slow listener holds up the feed")
	}
	heard := 0
	for range slow {
		heard++
	}
	if heard != backlog {
		t.Errorf("it heard %d events before, want %d", heard, backlog)
	}
	if _, last, _, err := f.Listen(); err != nil || last != backlog+9 {
		t.Errorf("the last one before was at %d, %v", last, err)
	}
	stopSlow() // twice is fine
	stopSlow()
}

func TestListenersAreBounded(t *testing.T) {
	t.Parallel()
	f := New()
	for range maxListeners {
		if _, _, _, err := f.Listen(); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, _, err := f.Listen(); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	f.Close()
	if _, _, _, err := f.Listen(); !errors.Is(err, ErrTooMany) {
		t.Errorf("after the end: %v", err)
	}
}
