package es

import (
	"context"
	"errors"
	"time"
)

// ErrNotParked says that there is no such parked event.
var ErrNotParked = errors.New("not parked")

// Parked is an event that was set aside, together with every later one of its
// stream.
type Parked struct {
	Subscription string
	Failure
	ParkedAt time.Time
	// Redrive tells that it was asked to be delivered again.
	Redrive bool
}

// Discarded is a parked event that somebody decided never to deliver.
type Discarded struct {
	Subscription string
	Failure
	By, Reason  string
	DiscardedAt time.Time
}

// ParkingLot keeps the events that were set aside. They are put there and taken
// back with [Progress]. Safe for concurrent use.
type ParkingLot interface {
	// Parked returns the parked events of these subscriptions by position, and
	// Discarded those that were given up.
	Parked(ctx context.Context, subscriptions ...string) ([]Parked, error)
	Discarded(ctx context.Context, subscriptions ...string) ([]Discarded, error)
	// ReadParked returns the events of a stream that are parked, in order, at most
	// so many.
	ReadParked(ctx context.Context, subscription string, stream StreamID, limit int) ([]Recorded, error)
	// RequestRedrive asks the subscriptions' readers to deliver the parked events
	// of a stream again, the zero value for all streams, and returns how many there
	// are. The sessions hear of it.
	RequestRedrive(ctx context.Context, stream StreamID, subscriptions ...string) (int, error)
	// Discard gives up one parked event for good and records by whom and why; the
	// later ones of its stream stay parked. The sessions hear of it. It gives
	// [ErrNotParked] where there is none.
	Discard(ctx context.Context, stream StreamID, version int64, by, reason string, subscriptions ...string) error
}
