package sqlite

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/peatlog/peat/es"
)

var _ es.Coordinator = (*Store)(nil)

// defaultTTL is how long a session that is not heard of keeps its leases, unless it
// is told otherwise.
const defaultTTL = 15 * time.Second

// OpenSession implements [es.Coordinator]. A TTL of 0 means 15 s.
//
// The leases are kept in the memory of this Store, which is to be the only one of its
// file whose readers share work: another Store, of this process or of another, knows
// nothing of them and gives the same ones away. Nothing is delivered twice even then,
// because who claims a checkpoint has whoever held it before refused.
//
// For the same reason a session hears of releases and requests of this Store, and
// never of what other stores and processes append: who waits for that has to look
// from time to time, with [es.Session].Grown.
func (s *Store) OpenSession(ctx context.Context, opts es.SessionOptions) (es.Session, error) {
	if opts.TTL < 0 {
		return nil, fmt.Errorf("open a session: negative TTL %v", opts.TTL)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := &presence{store: s, ttl: cmp.Or(opts.TTL, defaultTTL), heard: time.Now(), news: make(chan struct{}, 1)}
	if !s.leases.join(p) {
		return nil, ErrClosed
	}
	return p, nil
}

// OnAppend implements [es.Coordinator]. f is called behind each commit that has
// appended, before the appends of it return; concurrent appends that share a commit
// share the call. One that is under way when stop is called may still come.
func (s *Store) OnAppend(f func()) (stop func()) { return s.listeners.Add(f) }

// Wake calls the functions given to [Store.OnAppend], for appends that the Store does
// not know of: those of another Store, or of a transaction that was joined.
func (s *Store) Wake() { s.listeners.Call() }

// leases is who holds which lease. The zero value is nobody.
type leases struct {
	mu       sync.Mutex
	closed   bool
	last     int // number of a session
	sessions map[*presence]bool
	holders  map[string]*presence
}

// join adds a session, unless the store is closed.
func (l *leases) join(p *presence) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	if l.sessions == nil {
		l.sessions, l.holders = map[*presence]bool{}, map[string]*presence{}
	}
	l.last++
	p.number = l.last
	l.sessions[p] = true
	return true
}

// held reports whether somebody who is heard of holds a lease.
func (l *leases) held(lease string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.holders[lease]
	return p != nil && !p.lost(time.Now())
}

// changed gives all sessions news.
func (l *leases) changed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell(nil)
}

// tell does so under the lock, except for one session.
func (l *leases) tell(except *presence) {
	for p := range l.sessions {
		if p == except {
			continue
		}
		select {
		case p.news <- struct{}{}:
		default: // it has not read the last one yet
		}
	}
}

// close ends all sessions.
func (l *leases) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	clear(l.holders)
	l.tell(nil)
}
