package es

import (
	"context"
	"errors"
	"time"
)

// Checkpointer keeps the progress of subscriptions. Safe for concurrent use.
//
// Each subscription has a revision, which changes whenever its progress does. Who
// stores progress names the revision that it knows, so of two that work under one
// name, the one that was overtaken is refused with [ErrStaleCheckpoint]. The
// revision of a claim is the fence token of whoever made it.
type Checkpointer interface {
	// LoadCheckpoint returns the stored checkpoint of a subscription and its
	// revision; zero values for a subscription that has none.
	LoadCheckpoint(ctx context.Context, subscription string) (cp Checkpoint, revision int64, err error)
	// ClaimCheckpoint does the same for a reader that takes over: it gives the
	// subscription a revision above every one that was ever given under this
	// name, also if its row was deleted since, so that whoever knew an older one
	// is refused from now on, and what it has not committed may be broken off. The
	// holder's name is for people to read. It waits for a transaction that is about
	// to store progress, and gives [ErrBusy] when that takes long.
	ClaimCheckpoint(ctx context.Context, subscription, holder string) (cp Checkpoint, revision int64, err error)
	// SaveProgress stores progress, all of it or nothing. The revision is one
	// higher then. It gives [ErrLostCheckpoint] for a checkpoint that was read before
	// a crash of the server, which may speak of what never happened, and [ErrNotParked]
	// where the progress speaks of parked events that are not parked any more.
	SaveProgress(ctx context.Context, p Progress) error
}

// Progress is what a reader stores when it has dealt with events.
type Progress struct {
	Subscription string
	// Revision is the one that the reader knows, 0 for a subscription that has
	// none yet.
	Revision int64
	// Checkpoint is behind what was dealt with; "" goes back to the beginning.
	Checkpoint Checkpoint
	// Unpark takes back the parked events at these positions; if one of them is not
	// parked any more, nothing is stored: [ErrNotParked].
	Unpark []int64
	// Park sets events aside; what is also in Unpark is set aside anew. An event that
	// was not handed over waits for another one of its stream, which is parked already
	// or in Park with its attempts. If there is none any more, because it was discarded,
	// nothing is stored: [ErrNotParked]. A discard at the same time takes effect before
	// the progress or after it.
	Park []Failure
}

// Failure is why an event is set aside.
type Failure struct {
	Position int64
	Stream   StreamID
	Version  int64
	// Error is what the handler said, "" for an event that waits for another one of
	// its stream.
	Error string
	// Attempts is how often it was handed over, 0 for one that waits.
	Attempts int
}

// Transactor runs what a handler does and the progress that follows from it in one
// transaction. T is what the handler gets to work with, such as a pgx.Tx. Safe for
// concurrent use.
type Transactor[T any] interface {
	// Deliver runs f in a transaction, stores the progress in it and commits: all
	// of it takes effect or nothing. An error of f is returned, wrapped at most.
	//
	// Errors to branch on: those of SaveProgress; [ErrRejected], a
	// statement that f left to be run later failed; [ErrInterrupted] and [ErrBusy],
	// also around an error of f, if the connection was lost or the transaction was in
	// the way of another: nothing took effect. [ErrOutcomeUnknown]: load the
	// checkpoint to find out.
	Deliver(ctx context.Context, f func(tx T) error, p Progress) error
	// TakeOver makes a generation the live one; see [Generations]. f, which may
	// be nil, runs in the same transaction, when the live generation stands
	// still and the new one has come as far. False means that it has not come so
	// far in time, and nothing has changed.
	TakeOver(ctx context.Context, t TakeOver, f func(tx T) error) (bool, error)
}

// Errors of a [Transactor].
var (
	// ErrRejected: a statement that was queued, or a constraint that is checked at
	// the commit, failed.
	ErrRejected = errors.New("statement rejected")
	// ErrInterrupted: the transaction ended for a reason that is not in what it did,
	// such as a lost connection.
	ErrInterrupted = errors.New("transaction interrupted")
)

// Reader is the state of one reader of a subscription, for people and monitoring.
type Reader struct {
	Checkpoint Checkpoint
	// Revision grows whenever the reader's progress is stored.
	Revision int64
	// Holder is who claimed the checkpoint last, and Held whether its lease is
	// held now, which only that process can be.
	Holder    string
	Held      bool
	ClaimedAt time.Time
	UpdatedAt time.Time
	// Error is why the reader stopped, "" while it does not.
	Error string
	// Parked is how many events are set aside.
	Parked int
}

// Lag is how far a checkpoint is behind the log.
type Lag struct {
	// Events is how many events that the filter selects are not behind the
	// checkpoint, counted up to a limit; More tells that there are more.
	Events int
	More   bool
	// Age is how long the oldest of them has been in the log.
	Age time.Duration
	// Done is the part of the log that is behind the checkpoint, from 0 to 1, by
	// position: good enough for a progress bar.
	Done float64
}

// Monitor tells where readers stand. Safe for concurrent use.
type Monitor interface {
	// Readers returns the states of these subscriptions, in their order; the zero
	// value for one that has none.
	Readers(ctx context.Context, subscriptions ...string) ([]Reader, error)
	// RecordFailure keeps the reason why a reader of this revision stopped. The
	// next progress or claim removes it.
	RecordFailure(ctx context.Context, subscription string, revision int64, reason string) error
	// Lag tells how far a checkpoint is behind the log. It counts up to 100,000
	// events.
	Lag(ctx context.Context, behind Checkpoint, opts FeedOptions) (Lag, error)
	// Delivered tells whether the event at a position is behind the stored
	// checkpoint of the reader that it belongs to, of which there are as many as
	// the subscription has segments, in their order.
	Delivered(ctx context.Context, position int64, segments []string) (bool, error)
}
