package es

import (
	"context"
	"errors"
	"time"
)

// Generations are the lives of a projection: the one that its readers see, and
// perhaps one that is being built beside it, from the beginning of the log, to
// replace it.
type Generations struct {
	// Live is the number of the live one, 1 for the first, and Segments into how
	// many parts it is divided.
	Live, Segments int
	// Building is the number of the one that is being built, 0 for none.
	Building, BuildingSegments int
	// Keep tells that the old generation is to be kept when it is replaced.
	Keep bool
	// Since is when the live one became so.
	Since time.Time
}

// TakeOver says what is to become of a projection: its building generation, whose
// number is To, becomes the live one.
type TakeOver struct {
	Name string
	To   int
	// Live and Next are the subscriptions of the segments of the two generations.
	Live, Next []string
}

// Errors of generations.
var (
	// ErrRebuilding: a generation is being built already.
	ErrRebuilding = errors.New("already being rebuilt")
	// ErrNotRebuilding: none is being built, or not that one.
	ErrNotRebuilding = errors.New("not being rebuilt")
)

// GenerationStore keeps the generations of projections. Safe for concurrent use.
type GenerationStore interface {
	// Generations returns those of a projection. One that has none gets its first,
	// with so many segments.
	Generations(ctx context.Context, name string, segments int) (Generations, error)
	// BeginRebuild has a new generation built. It gives [ErrRebuilding] where one
	// is.
	BeginRebuild(ctx context.Context, name string, segments int, keep bool) (Generations, error)
	// CancelRebuild gives up the building generation To of t and removes the
	// progress of its segments.
	CancelRebuild(ctx context.Context, t TakeOver) error
	// Switch is TakeOver of a [Transactor] for an f that needs no transaction.
	Switch(ctx context.Context, t TakeOver, f func() error) (bool, error)
}
