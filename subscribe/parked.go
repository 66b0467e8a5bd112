package subscribe

import (
	"context"
	"errors"

	"github.com/peatlog/peat/es"
)

// subscriptionsOf returns the subscriptions of a consumer's generations, live first.
func (r *Runner) subscriptionsOf(ctx context.Context, name string) ([]string, error) {
	c, err := r.consumer(name)
	if err != nil {
		return nil, err
	}
	g, err := r.store.Generations(ctx, name, c.Segments)
	if err != nil {
		return nil, err
	}
	all := c.subscriptions(g.Live, g.Segments)
	if g.Building > 0 {
		all = append(all, c.subscriptions(g.Building, g.BuildingSegments)...)
	}
	return all, nil
}

// Parked returns the events of a consumer that are set aside, by position: those that
// a handler failed on, with the error, and those that wait behind them.
func (r *Runner) Parked(ctx context.Context, name string) ([]es.Parked, error) {
	all, err := r.subscriptionsOf(ctx, name)
	if err != nil {
		return nil, err
	}
	return r.store.Parked(ctx, all...)
}

// Redrive asks for the parked events of a stream to be delivered again, of the zero
// stream for those of all, and tells how many there are. Whoever works on the
// consumer delivers them in order and then lets later ones follow. If one fails
// again, it and those behind it stay parked.
func (r *Runner) Redrive(ctx context.Context, name string, stream es.StreamID) (int, error) {
	all, err := r.subscriptionsOf(ctx, name)
	if err != nil {
		return 0, err
	}
	return r.store.RequestRedrive(ctx, stream, all...)
}

// Discard gives up a parked event for good: it is never delivered. By whom and why is
// recorded, see [Runner.Discarded]. The later events of its stream that are parked stay
// so until they are redriven; when none is left, the stream flows again at once. It
// gives es.ErrNotParked where there is no such event.
func (r *Runner) Discard(ctx context.Context, name string, stream es.StreamID, version int64, by, reason string) error {
	if by == "" || reason == "" {
		return errors.New("discard: say who and why")
	}
	all, err := r.subscriptionsOf(ctx, name)
	if err != nil {
		return err
	}
	return r.store.Discard(ctx, stream, version, by, reason, all...)
}

// Discarded returns the events that were given up.
func (r *Runner) Discarded(ctx context.Context, name string) ([]es.Discarded, error) {
	all, err := r.subscriptionsOf(ctx, name)
	if err != nil {
		return nil, err
	}
	return r.store.Discarded(ctx, all...)
}
