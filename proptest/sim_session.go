package proptest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

// leases are what the sessions of a log hold. A crash of the server leaves them: whether
// connections outlast it is no matter of the log's.
type leases struct {
	now func() time.Time

	mu       sync.Mutex
	holders  map[string]*session
	sessions []*session
	last     int
}

// session implements [es.Session].
type session struct {
	log    *Log
	number int
	ttl    time.Duration
	// news has room for one: however much happens, it is one reason to look.
	news chan struct{}

	heard  time.Time
	closed bool
	groups []string
}

var errSessionClosed = errors.New("session closed")

// OpenSession implements [es.Coordinator]. A TTL of 0 is 10 s.
func (l *Log) OpenSession(ctx context.Context, opts es.SessionOptions) (es.Session, error) {
	s := &session{log: l, ttl: cmp.Or(opts.TTL, 10*time.Second), news: make(chan struct{}, 1)}
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	l.leases.last++
	s.number, s.heard = l.leases.last, l.leases.now()
	l.leases.sessions = append(l.leases.sessions, s)
	return s, ctx.Err()
}

// OnAppend implements [es.Coordinator].
func (l *Log) OnAppend(f func()) (stop func()) { return l.listeners.Add(f) }

// held reports whether a lease is held.
func (l *leases) held(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	holder := l.holders[name]
	return holder != nil && !holder.lost()
}

// changed tells all sessions that something has changed.
func (l *leases) changed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell(nil)
}

// tell is changed for all but one.
func (l *leases) tell(but *session) {
	for _, s := range l.sessions {
		if s == but {
			continue
		}
		select {
		case s.news <- struct{}{}:
		default:
		}
	}
}

func (s *session) lost() bool { return s.log.leases.now().Sub(s.heard) >= s.ttl }

// do makes the session heard of and runs f with the leases locked.
func (s *session) do(ctx context.Context, f func(l *leases)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l := &s.log.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.closed {
		return errSessionClosed
	}
	s.heard = l.now()
	f(l)
	return nil
}

// Acquire implements [es.Session].
func (s *session) Acquire(ctx context.Context, names []string, most int) (acquired []string, err error) {
	err = s.do(ctx, func(l *leases) {
		if l.holders == nil {
			l.holders = map[string]*session{}
		}
		for _, name := range names {
			if holder := l.holders[name]; len(acquired) < most && (holder == nil || holder != s && holder.lost()) {
				l.holders[name] = s
				acquired = append(acquired, name)
			}
		}
	})
	return acquired, err
}

// Release implements [es.Session].
func (s *session) Release(ctx context.Context, names []string) error {
	return s.do(ctx, func(l *leases) { s.release(l, names) })
}

func (s *session) release(l *leases, names []string) {
	released := false
	for _, name := range names {
		if l.holders[name] == s {
			delete(l.holders, name)
			released = true
		}
	}
	if released {
		l.tell(s)
	}
}

// Renew implements [es.Session]. A lease whose time was up is still held if nobody has
// asked for it.
func (s *session) Renew(ctx context.Context) (held []string, err error) {
	err = s.do(ctx, func(l *leases) { held = s.leases(l) })
	return held, err
}

func (s *session) leases(l *leases) []string {
	var held []string
	for name, holder := range l.holders {
		if holder == s {
			held = append(held, name)
		}
	}
	slices.Sort(held)
	return held
}

// Members implements [es.Session].
func (s *session) Members(ctx context.Context, groups []string) ([][]int, error) {
	members := make([][]int, len(groups))
	return members, s.do(ctx, func(l *leases) {
		before := len(s.groups)
		s.groups = slices.Compact(slices.Sorted(slices.Values(slices.Concat(s.groups, groups))))
		for i, g := range groups {
			for _, other := range l.sessions {
				if slices.Contains(other.groups, g) && !other.lost() {
					members[i] = append(members[i], other.number)
				}
			}
		}
		if len(s.groups) > before {
			l.tell(s)
		}
	})
}

// Wait implements [es.Session].
func (s *session) Wait(ctx context.Context, d time.Duration) (news es.News, err error) {
	lasting := context.WithoutCancel(ctx) // its end is no error
	if err := s.do(lasting, func(*leases) {}); err != nil {
		return news, err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.news: // also when d is 0
		news.Changed = true
	default:
		select {
		case <-s.news:
			news.Changed = true
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return news, s.do(lasting, func(*leases) {})
}

// Grown implements [es.Session].
func (s *session) Grown(ctx context.Context, behind []es.Checkpoint) ([]bool, error) {
	if err := s.do(ctx, func(*leases) {}); err != nil {
		return nil, err
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	db := s.log.db
	now := window.Moment{Life: db.life()}
	now.Epoch, now.Snapshot, now.LastPosition = epochs.Current(), db.snapshot(), db.lastPosition()
	return now.Grown(behind), nil
}

// Close implements [es.Session]. Closing twice is fine.
func (s *session) Close(context.Context) error {
	l := &s.log.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	s.closed = true
	l.sessions = slices.DeleteFunc(l.sessions, func(o *session) bool { return o == s })
	s.release(l, s.leases(l))
	return nil
}
