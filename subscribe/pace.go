package subscribe

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// backoff returns the pause before attempt n+1: first, doubled n-1 times, up to most,
// of which a random half is left out so that many do not come back at once.
func backoff(first, most time.Duration, n int) time.Duration {
	d := most
	if shift := max(n-1, 0); shift < 30 {
		d = min(first<<shift, most)
	}
	return d/2 + rand.N(d/2+1)
}

// sleep waits, and returns false if ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// announcer lets many wait for the next announcement. The zero value is ready, and
// safe for concurrent use.
type announcer struct {
	mu   sync.Mutex
	next chan struct{}
}

// wait returns a channel that the next announcement closes.
func (a *announcer) wait() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		a.next = make(chan struct{})
	}
	return a.next
}

func (a *announcer) announce() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next != nil {
		close(a.next)
		a.next = nil
	}
}
