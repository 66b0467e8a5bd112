package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/peatlog/peat/es"
)

// errSessionClosed is the error of every call after [es.Session].Close.
var errSessionClosed = errors.New("session closed")

// presence is an es.Session.
type presence struct {
	store *Store
	ttl   time.Duration
	// news has room for one: however much happens, it is one reason to look.
	news chan struct{}

	// Under the lock of the leases:
	heard  time.Time
	closed bool
	groups []string
	number int
}

// lost reports whether others may have the session's leases.
func (p *presence) lost(now time.Time) bool { return now.Sub(p.heard) >= p.ttl }

// begin makes the session heard of and locks the leases, if it may go on.
func (p *presence) begin(ctx context.Context) (*leases, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l := &p.store.leases
	l.mu.Lock()
	if l.closed || p.closed {
		defer l.mu.Unlock()
		if l.closed {
			return nil, ErrClosed
		}
		return nil, errSessionClosed
	}
	p.heard = time.Now()
	return l, nil
}

// Acquire implements [es.Session].
func (p *presence) Acquire(ctx context.Context, names []string, most int) ([]string, error) {
	l, err := p.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	var acquired []string
	for _, name := range names {
		if len(acquired) == most {
			break
		}
		if holder := l.holders[name]; holder == nil || holder.lost(p.heard) {
			l.holders[name] = p
			acquired = append(acquired, name)
		}
	}
	return acquired, nil
}

// Release implements [es.Session].
func (p *presence) Release(ctx context.Context, names []string) error {
	l, err := p.begin(ctx)
	if err != nil {
		return err
	}
	defer l.mu.Unlock()
	released := false
	for _, name := range names {
		if l.holders[name] == p {
			delete(l.holders, name)
			released = true
		}
	}
	if released {
		l.tell(p)
	}
	return nil
}

// Renew implements [es.Session]. A lease whose time was up is still held if nobody
// has asked for it.
func (p *presence) Renew(ctx context.Context) ([]string, error) {
	l, err := p.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	var held []string
	for name, holder := range l.holders {
		if holder == p {
			held = append(held, name)
		}
	}
	slices.Sort(held)
	return held, nil
}

// Members implements [es.Session].
func (p *presence) Members(ctx context.Context, groups []string) ([][]int, error) {
	l, err := p.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	joined := false
	members := make([][]int, len(groups))
	for i, g := range groups {
		if !slices.Contains(p.groups, g) {
			p.groups, joined = append(p.groups, g), true
		}
		for other := range l.sessions {
			if slices.Contains(other.groups, g) && !other.lost(p.heard) {
				members[i] = append(members[i], other.number)
			}
		}
		slices.Sort(members[i])
	}
	if joined {
		l.tell(p)
	}
	return members, nil
}

// Wait implements [es.Session].
func (p *presence) Wait(ctx context.Context, d time.Duration) (news es.News, err error) {
	lasting := context.WithoutCancel(ctx) // its end is no error
	l, err := p.begin(lasting)
	if err != nil {
		return news, err
	}
	l.mu.Unlock()
	select {
	case <-p.news: // also when d is 0
		news.Changed = true
	default:
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-p.news:
			news.Changed = true
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if l, err = p.begin(lasting); err != nil {
		return es.News{}, err
	}
	l.mu.Unlock()
	return news, nil
}

// Grown implements [es.Session]. A checkpoint that the feed refuses has something
// behind it: the error, which is for its reader and not for the session.
func (p *presence) Grown(ctx context.Context, behind []es.Checkpoint) ([]bool, error) {
	l, err := p.begin(ctx)
	if err != nil {
		return nil, err
	}
	l.mu.Unlock()
	last, err := p.store.lastPosition(ctx)
	if err != nil {
		return nil, fmt.Errorf("grown: %w", err)
	}
	grown := make([]bool, len(behind))
	for i, cp := range behind {
		c, err := parseCursor(cp)
		grown[i] = err != nil || c.Position != last
	}
	return grown, nil
}

// Close implements [es.Session]. Closing twice is fine.
func (p *presence) Close(context.Context) error {
	l := &p.store.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	p.closed = true
	delete(l.sessions, p)
	released := false
	for name, holder := range l.holders {
		if holder == p {
			delete(l.holders, name)
			released = true
		}
	}
	if released {
		l.tell(p)
	}
	return nil
}
