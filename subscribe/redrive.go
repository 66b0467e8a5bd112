package subscribe

import (
	"context"
	"errors"

	"github.com/peatlog/peat/es"
)

// redrivePage is how many parked events are read at once.
const redrivePage = 100

// redrive looks at what is parked, and delivers the streams that were asked for.
func (r *reader) redrive(ctx context.Context) error {
	asked, err := r.readParked(ctx)
	if err != nil {
		return err
	}
	for _, stream := range asked {
		if err := r.redriveStream(ctx, stream); err != nil {
			return err
		}
	}
	r.waits.Store(len(r.parked) > 0)
	return nil
}

// readParked reads which streams have something parked, and returns those that were
// asked for. Others may have discarded or deleted parked events since the last time.
func (r *reader) readParked(ctx context.Context) (asked []es.StreamID, err error) {
	stop := waiting(ctx, r.log, "parked")
	all, err := r.runner.store.Parked(ctx, r.subscription)
	if stop(); err != nil {
		return nil, err
	}
	r.parked = map[es.StreamID]bool{}
	late := map[es.StreamID]bool{}
	for _, p := range all { // by position, so the first of a stream speaks for it
		if !r.parked[p.Stream] && p.Redrive {
			asked = append(asked, p.Stream)
		}
		r.parked[p.Stream] = true
		late[p.Stream] = late[p.Stream] || !p.Redrive
	}
	for _, f := range r.reasons { // not stored yet
		r.parked[f.Stream] = true
	}
	r.waits.Store(len(r.parked) > 0)
	for _, stream := range asked {
		if !late[stream] {
			continue
		}
		// What was parked after the request is part of the redrive, also if that is
		// broken off in the middle and goes on in another process.
		if _, err := r.runner.store.RequestRedrive(ctx, stream, r.subscription); err != nil {
			return nil, err
		}
	}
	return asked, nil
}

// redriveStream delivers the parked events of a stream in order, until none is left,
// so that live ones follow, or one fails again.
func (r *reader) redriveStream(ctx context.Context, stream es.StreamID) error {
	for {
		events, err := r.runner.store.ReadParked(ctx, r.subscription, stream, redrivePage)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			delete(r.parked, stream)
			return nil
		}
		for _, e := range events {
			if done, err := r.redriveEvent(ctx, e); err != nil || !done {
				return err
			}
		}
	}
}

// redriveEvent hands over one parked event. What becomes of it is stored with the
// progress as it is: the event is parked no longer, or again.
func (r *reader) redriveEvent(ctx context.Context, e es.Recorded) (done bool, err error) {
	w := work{events: []es.Recorded{e}, limits: r.limits(), progress: func(n int) es.Progress {
		p := r.progress()
		if n > 0 {
			p.Unpark = []int64{e.Position}
		}
		return p
	}}
	for attempt := 1; ; attempt++ {
		_, err := r.handOver(ctx, w, attempt)
		failed, ok := errors.AsType[*handlerError](err)
		switch {
		case !ok && errors.Is(err, es.ErrNotParked):
			return true, nil // it was given up meanwhile
		case !ok:
			return err == nil, err
		case ctx.Err() != nil:
			return false, ctx.Err()
		case attempt == r.consumer.Attempts:
			r.log.WarnContext(ctx, "a parked event failed again", "error", failed.err, "stream", e.Stream.String(), "version", e.Version)
			return false, r.parkAgain(ctx, e, failed)
		}
		if err := r.pause(ctx, attempt); err != nil {
			return false, err
		}
	}
}

func (r *reader) parkAgain(ctx context.Context, e es.Recorded, failed *handlerError) error {
	p := r.progress()
	p.Unpark = []int64{e.Position}
	p.Park = []es.Failure{{Position: e.Position, Stream: e.Stream, Version: e.Version, Error: reason(failed.err), Attempts: r.consumer.Attempts}}
	err := r.save(ctx, p)
	if errors.Is(err, es.ErrNotParked) {
		r.lookAgain.Store(true) // it was given up meanwhile
		return nil
	}
	return err
}
