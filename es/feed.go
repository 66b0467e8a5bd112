package es

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// Checkpoint is a place in the log: everything before it is delivered, nothing
// behind it is. It is a JSON text that operators can read and only the store it
// came from can interpret. The zero value is the beginning of the log.
//
// A checkpoint is a value. The next batch is a function of the checkpoint, the
// filter and the log, so going back to an old checkpoint delivers the same again.
type Checkpoint string

// Horizon says which events a feed delivers. The zero value is [Committed].
type Horizon int

const (
	// Committed delivers what has committed, as soon as it has. Nothing delays
	// it, whatever else runs in the database.
	Committed Horizon = iota
	// Settled delivers an event when all transactions that are older have ended,
	// and of a stream never an event before its predecessor. So no older transaction
	// can add to what was delivered; the price is that any open transaction of the
	// cluster holds back what is younger. Streams settle each on their own, so the
	// events of one transaction on several streams can come apart, and how streams
	// interleave depends on when a reader polls.
	Settled
)

// String prints the horizon.
func (h Horizon) String() string {
	switch h {
	case Committed:
		return "committed"
	case Settled:
		return "settled"
	default:
		return fmt.Sprintf("horizon %d", int(h))
	}
}

// Filter selects events. The zero value selects all; several fields select what
// fits all of them.
type Filter struct {
	// Categories keeps to the streams of these categories.
	Categories []string
	// Types keeps to events of these types.
	Types []string
	// Stream keeps to one stream, unless it is the zero value.
	Stream StreamID
	// Segment keeps to one of Segments equal parts, counted from 0, into which
	// the streams are divided. Zero Segments is no division.
	Segment, Segments int
}

// All reports whether the filter selects all events.
func (f Filter) All() bool {
	return len(f.Categories) == 0 && len(f.Types) == 0 && f.Stream == (StreamID{}) && f.Segments <= 1
}

// FeedOptions says what a feed delivers, and how much at once.
type FeedOptions struct {
	Filter  Filter
	Horizon Horizon
	// MaxEvents bounds a batch; 0 means 500.
	MaxEvents int
	// MaxBytes bounds the payloads of a batch; 0 means 4 MiB. An event over it
	// comes alone.
	MaxBytes int
}

// WithDefaults returns the options with their defaults in place, or an error that
// names all their faults. Feeds begin with it.
func (o FeedOptions) WithDefaults() (FeedOptions, error) {
	var faults []error
	for _, category := range o.Filter.Categories {
		faults = append(faults, ValidateCategory(category))
	}
	if f := o.Filter; f.Stream != (StreamID{}) {
		faults = append(faults, f.Stream.Validate())
	}
	if f := o.Filter; f.Segments < 0 || f.Segment < 0 || f.Segment >= max(f.Segments, 1) {
		faults = append(faults, fmt.Errorf("segment %d of %d: want one from 0 up to the number of segments", f.Segment, f.Segments))
	}
	if o.Horizon != Committed && o.Horizon != Settled {
		faults = append(faults, fmt.Errorf("unknown %v", o.Horizon))
	}
	if o.MaxEvents < 0 || o.MaxBytes < 0 {
		faults = append(faults, fmt.Errorf("negative limit: %d events, %d bytes", o.MaxEvents, o.MaxBytes))
	}
	if err := errors.Join(faults...); err != nil {
		return o, fmt.Errorf("feed options: %w", err)
	}
	o.MaxEvents, o.MaxBytes = cmp.Or(o.MaxEvents, 500), cmp.Or(o.MaxBytes, 4<<20)
	return o, nil
}

// Batch is what a feed delivers at once, in order.
type Batch struct {
	Events []Recorded
	// Next is the checkpoint behind the batch. It may be ahead of the last
	// event, and moves on without any, over what a filter skips.
	Next Checkpoint
	// More reports that the feed has not come to the end of what there was: the next
	// batch can be read now just as well as later. Without it, asking at once is
	// likely to find nothing.
	//
	// Reading on for as long as there is More comes to an end, however much is appended
	// meanwhile. A reader that began at the beginning of the log, or after a batch
	// without More, has then read all that there was to deliver at its first batch.
	More bool
	// Moved tells that Next lies behind events that behind did not, delivered or
	// skipped by the filter.
	Moved bool
	// Prefix returns the checkpoint behind the first n events, for a reader that
	// has come only so far. It is nil in a batch without events.
	Prefix func(n int) Checkpoint
}

// Feed delivers the log in an order that never goes back. Safe for concurrent use.
type Feed interface {
	// Feed returns the next batch behind a checkpoint; one without events when
	// there is nothing to deliver now.
	//
	// Nothing is lost and nothing comes twice, however transactions interleave.
	// Of a stream, versions come in order. Under [Committed], an event that was
	// appended after another one was read comes after it; under [Settled] that
	// holds between streams only as far as the ages of their transactions agree
	// (an answer written in a transaction that is older than the question can
	// come first).
	//
	// Errors to branch on: [ErrCheckpoint], [ErrLostCheckpoint],
	// [ErrForeignEpoch], [ErrOrderingViolation], [ErrInvalidStream].
	Feed(ctx context.Context, behind Checkpoint, opts FeedOptions) (Batch, error)
}

// Pinner tells who holds a [Settled] feed back. Safe for concurrent use.
type Pinner interface {
	// Pins returns the transactions that are open, the oldest first. What is
	// younger than the oldest waits for it. A store whose feeds wait for nobody
	// returns none.
	Pins(ctx context.Context) ([]Pin, error)
}

// Pin is an open transaction that holds back what is younger.
type Pin struct {
	// PID is the backend's process, 0 for a prepared transaction.
	PID int
	// Prepared is the name of a prepared transaction, which lasts until somebody
	// commits it or rolls it back.
	Prepared string
	// User, Database, Application and Query say what it is doing.
	User, Database, Application, Query string
	// Age is how long it has been open.
	Age time.Duration
}

// Errors of feeds and subscriptions.
var (
	// ErrCheckpoint: the checkpoint is none of this store's, or belongs to
	// another horizon.
	ErrCheckpoint = errors.New("unusable checkpoint")
	// ErrLostCheckpoint: the checkpoint was not stored, and the server has crashed
	// since; what it knows may not have happened. Go back to the stored one.
	ErrLostCheckpoint = errors.New("checkpoint lost in a crash")
	// ErrStaleCheckpoint: the stored checkpoint was changed by somebody else. See
	// [*StaleCheckpointError].
	ErrStaleCheckpoint = errors.New("stale checkpoint")
	// ErrForeignEpoch: the log, or a checkpoint, comes from another cluster whose
	// transaction ids lie in the future of this one.
	ErrForeignEpoch = errors.New("log of another cluster")
	// ErrOrderingViolation: an event is behind a later one of its stream. See
	// [*OrderingViolationError].
	ErrOrderingViolation = errors.New("ordering violation")
)

// OrderingViolationError says that an event came up for delivery although a later
// one of its stream was delivered before, which only a checkpoint that was forged,
// edited or taken from another log can bring about. Nothing of the batch is
// handed over. It unwraps to [ErrOrderingViolation].
type OrderingViolationError struct {
	// Subscription is the name of the subscription, "" outside of one.
	Subscription string
	Stream       StreamID
	// Version is the event's, LastDelivered the highest one delivered before it.
	Version, LastDelivered int64
}

// Error implements error.
func (e *OrderingViolationError) Error() string {
	of := ""
	if e.Subscription != "" {
		of = fmt.Sprintf(" in subscription %q", e.Subscription)
	}
	return fmt.Sprintf("%v%s: %s version %d would follow version %d; reset the checkpoint and rebuild what was read with it",
		ErrOrderingViolation, of, e.Stream, e.Version, e.LastDelivered)
}

// Unwrap returns [ErrOrderingViolation].
func (e *OrderingViolationError) Unwrap() error { return ErrOrderingViolation }

// StaleCheckpointError says that a subscription's stored checkpoint is not the one
// that the writer knew. It unwraps to [ErrStaleCheckpoint].
type StaleCheckpointError struct {
	Subscription string
	// Revision is the one that the writer knew.
	Revision int64
}

// Error implements error.
func (e *StaleCheckpointError) Error() string {
	return fmt.Sprintf("%v of subscription %q: it is no longer of revision %d, somebody else works under this name", ErrStaleCheckpoint, e.Subscription, e.Revision)
}

// Unwrap returns [ErrStaleCheckpoint].
func (e *StaleCheckpointError) Unwrap() error { return ErrStaleCheckpoint }
