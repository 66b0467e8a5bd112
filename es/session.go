package es

import (
	"context"
	"time"
)

// Coordinator lets the processes that work on a log agree on who does what. Safe
// for concurrent use.
type Coordinator interface {
	// OpenSession opens a session, on a connection of its own.
	OpenSession(ctx context.Context, opts SessionOptions) (Session, error)
	// OnAppend has f called whenever this store has appended something, until stop
	// is called. f must return at once. What other stores and processes append, a
	// [Session] hears of.
	OnAppend(f func()) (stop func())
}

// SessionOptions configures a [Session].
type SessionOptions struct {
	// TTL is how long a session that is not heard of keeps its leases. Whether it
	// has been heard of is decided by the server, on its clock.
	TTL time.Duration
}

// Session is the presence of one process. Its leases are held by it alone and end
// with it: at once when it is closed or its process ends, and after its TTL when
// the process stands still or the network is cut. A session belongs to one
// goroutine at a time. After an error of any method it is of no use any more:
// close it and open another.
type Session interface {
	// Acquire takes those of the leases that nobody holds, in their order and at most
	// so many, and returns them. It does not wait.
	Acquire(ctx context.Context, leases []string, most int) ([]string, error)
	// Release gives leases back and lets the other sessions know.
	Release(ctx context.Context, leases []string) error
	// Renew makes the session heard of, and returns the leases that it holds. It
	// is to be called at least three times within the TTL.
	Renew(ctx context.Context) ([]string, error)
	// Members makes the session a member of these groups, until it is closed, and
	// returns the sessions that are in each, itself included, so that they can divide
	// leases fairly: by sorted numbers that no two sessions have at the same time. The others
	// hear of a new member.
	Members(ctx context.Context, groups []string) ([][]int, error)
	// Wait returns as soon as there is news, or when d has passed, or when ctx ends,
	// which is no error.
	Wait(ctx context.Context, d time.Duration) (News, error)
	// Grown tells for each checkpoint whether there may be something behind it
	// under this horizon, in one round trip whatever their number, and without a
	// transaction id.
	Grown(ctx context.Context, behind []Checkpoint) ([]bool, error)
	// Close gives all leases back.
	Close(ctx context.Context) error
}

// News is what a session has heard.
type News struct {
	// Appended: another store or process has appended.
	Appended bool
	// Changed: a lease was released, a group has a new member, a parked event was
	// discarded, or something was asked for: that parked events be delivered, or that a
	// generation be built.
	Changed bool
}
