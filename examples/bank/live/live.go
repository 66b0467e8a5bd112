// Package live tells everybody who listens of the events of the accounts as they
// are delivered, for pages that keep themselves up to date.
//
// A [Feed] follows the log from where it is at the start and stores nothing: a
// listener that comes later, or is too slow, has to look for itself what it missed.
package live

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
)

// Event is what is told of an event.
type Event struct {
	Position int64
	Account  string
	Version  int64
	Type     string
	// What says in words what happened.
	What string
	// Moves tells that it moves money: Change.
	Moves      bool
	Change     money.Amount
	RecordedAt time.Time
}

const (
	// backlog is how many events a listener may be behind.
	backlog = 256
	// maxListeners bounds the memory and the connections that they take.
	maxListeners = 1000
	// poll is how often to look for what other processes have appended.
	poll = 250 * time.Millisecond
)

// ErrTooMany says that there are so many listeners that another one is refused.
var ErrTooMany = errors.New("too many listeners")

// Feed hands out events. Safe for concurrent use.
type Feed struct {
	mu        sync.Mutex
	listeners map[chan Event]bool
	closed    bool
	last      int64 // the position of the event told last
}

// New returns a feed that nobody listens to yet.
func New() *Feed { return &Feed{listeners: map[chan Event]bool{}} }

// Listen returns a channel of the events from now on, and the position of the last one
// before, 0 if there was none. The channel is closed when the listener
// is too far behind, when the feed ends, and by stop, which must be called.
func (f *Feed) Listen() (events <-chan Event, last int64, stop func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.listeners) >= maxListeners || f.closed {
		return nil, 0, nil, ErrTooMany
	}
	c := make(chan Event, backlog)
	f.listeners[c] = true
	return c, f.last, func() { f.mu.Lock(); defer f.mu.Unlock(); f.drop(c) }, nil
}

// drop ends a listener.
func (f *Feed) drop(c chan Event) {
	if f.listeners[c] {
		delete(f.listeners, c)
		close(c)
	}
}

func (f *Feed) tell(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = e.Position
	for c := range f.listeners {
		select {
		case c <- e:
		default:
			f.drop(c)
		}
	}
}

// Close ends all listeners, and refuses new ones.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for c := range f.listeners {
		f.drop(c)
	}
}

// Store is what there is to follow.
type Store interface {
	es.Feed
	OnAppend(f func()) (stop func())
}

// Follow tells of what is behind the checkpoint that begin returns, until ctx ends.
// Errors of the store are tried again.
func (f *Feed) Follow(ctx context.Context, store Store, begin func(context.Context) (es.Checkpoint, error)) error {
	wake := make(chan struct{}, 1)
	defer store.OnAppend(func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})()
	behind, err := begin(ctx)
	for ctx.Err() == nil {
		var batch es.Batch
		if err == nil {
			batch, err = store.Feed(ctx, behind, es.FeedOptions{Filter: es.Filter{Categories: []string{account.Accounts.Category()}}})
		}
		if err != nil { // a place that was only in memory is not safe across a crash of the server
			sleep(ctx, time.Second, nil)
			behind, err = begin(ctx)
			continue
		}
		for _, r := range batch.Events {
			f.tell(eventOf(r))
		}
		behind = batch.Next
		if !batch.More {
			sleep(ctx, poll, wake)
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-wake:
	}
}

func eventOf(r es.Recorded) Event {
	e := Event{Position: r.Position, Account: r.Stream.Key, Version: r.Version, Type: r.Type, RecordedAt: r.RecordedAt.UTC()}
	decoded, err := es.Decode(account.Events, r)
	if err != nil {
		e.What = "an event that cannot be read"
		return e
	}
	e.What = account.Describe(decoded.Event)
	if m, ok := decoded.Event.(account.Movement); ok {
		e.Moves, e.Change = true, m.Change()
	}
	return e
}
