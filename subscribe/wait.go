package subscribe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peatlog/peat/es"
)

// Errors of [Runner.WaitFor].
var (
	// ErrStopped: the reader that would deliver the event has stopped.
	ErrStopped = errors.New("consumer stopped")
	// ErrParked: the event is set aside, because of it or an earlier one of its
	// stream.
	ErrParked = errors.New("event parked")
)

// WaitFor waits until the consumer has dealt with what an append has written, so that
// what is read from its tables afterwards holds the own write. Whether this process
// runs the consumer or another one makes no difference, but for up to 50 ms.
//
// Errors to branch on: [ErrParked], [ErrStopped], and that of ctx.
func (r *Runner) WaitFor(ctx context.Context, name string, appended es.AppendResult) error {
	c, err := r.consumer(name)
	if err != nil || appended.Position == 0 {
		return err
	}
	g, err := r.store.Generations(ctx, name, c.Segments)
	if err != nil {
		return err
	}
	segments := c.subscriptions(g.Live, g.Segments)
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		moved := r.moved.wait()
		done, err := r.store.Delivered(ctx, appended.Position, segments)
		if err != nil || done {
			return errors.Join(err, r.notParked(ctx, c, appended.Position, segments))
		}
		if err := r.notStopped(ctx, name, segments); err != nil {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("wait for consumer %q: %w", name, ctx.Err())
		case <-moved:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (r *Runner) notParked(ctx context.Context, c Consumer, position int64, segments []string) error {
	if c.OnFailure != Park {
		return nil
	}
	parked, err := r.store.Parked(ctx, segments...)
	if err != nil {
		return err
	}
	for _, p := range parked {
		if p.Position == position {
			return fmt.Errorf("wait for consumer %q: %w: %s version %d", c.Name, ErrParked, p.Stream, p.Version)
		}
	}
	return nil
}

func (r *Runner) notStopped(ctx context.Context, name string, segments []string) error {
	readers, err := r.store.Readers(ctx, segments...)
	if err != nil {
		return err
	}
	for _, reader := range readers {
		if reader.Error != "" {
			return fmt.Errorf("wait for consumer %q: %w: %s", name, ErrStopped, reader.Error)
		}
	}
	return nil
}
