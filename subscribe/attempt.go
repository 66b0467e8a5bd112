package subscribe

import (
	"context"
	"errors"
	"time"

	"github.com/peatlog/peat/es"
)

// deliver hands over the events of a batch and stores the progress.
func (r *reader) deliver(ctx context.Context, b es.Batch) error {
	d := &delivering{reader: r, batch: b}
	for d.done < len(b.Events) {
		if err := d.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// delivering is where a reader is in a batch.
type delivering struct {
	*reader
	batch es.Batch
	// done is how many events are dealt with.
	done int
	// until is where to stop first, because the event there has failed; up to alone
	// they go one by one, because one of them has.
	until, alone int
	// attempts is how often what comes next has failed.
	attempts int
}

// step hands over what comes next.
func (d *delivering) step(ctx context.Context) error {
	c := d.chunk()
	n, err := d.handOver(ctx, work{events: c.events, limits: d.limits(), progress: c.progress}, d.attempts+1)
	if n > 0 || err == nil {
		d.tell(ctx, c.progress(n).Park)
		d.done, d.attempts = c.after(n), 0
	}
	failed, ok := errors.AsType[*handlerError](err)
	switch {
	case !ok && errors.Is(err, es.ErrNotParked):
		return d.flowAgain(ctx, err)
	case !ok:
		return err
	}
	if ctx.Err() != nil { // the runner stops, which is not the event's fault
		return ctx.Err()
	}
	if first := failed.index - n; first > 0 { // nothing took effect, although only that one failed
		d.until = c.places[failed.index]
		return nil
	}
	d.attempts++
	d.log.WarnContext(ctx, "a handler failed", "error", reason(failed.err), "attempt", d.attempts,
		"stream", c.events[n].Stream.String(), "version", c.events[n].Version, "type", c.events[n].Type)
	if d.attempts < d.consumer.Attempts {
		return d.pause(ctx, d.attempts)
	}
	if failed.whole && len(c.events) > 1 { // find out which one it is
		d.alone, d.attempts = c.end, 0
		return nil
	}
	d.attempts = 0 // the next event's
	return d.giveUp(c.events[n], failed)
}

// flowAgain looks at what is parked after the store has refused to set an event aside,
// because the one that it was to wait for is not parked any more. That one was discarded,
// and the reader has not heard of it yet, or never will. The event is handed over then.
// flowAgain returns the refusal if nothing has changed.
func (d *delivering) flowAgain(ctx context.Context, refused error) error {
	before := len(d.parked)
	asked, err := d.readParked(ctx)
	if err != nil {
		return err
	}
	if len(asked) > 0 {
		d.lookAgain.Store(true)
	}
	if len(d.parked) >= before {
		return refused
	}
	return nil
}

// chunk is the events that are next to be handed over at once.
type chunk struct {
	*delivering
	events []es.Recorded
	places []int // of events, in the batch
	end    int
}

func (d *delivering) chunk() *chunk {
	c := &chunk{delivering: d, end: len(d.batch.Events)}
	switch {
	case d.done < d.alone:
		c.end = d.done + 1
	case d.done < d.until:
		c.end = d.until
	}
	c.places = make([]int, 0, c.end-d.done)
	for i := d.done; i < c.end; i++ {
		if !d.parked[d.batch.Events[i].Stream] {
			c.places = append(c.places, i)
		}
	}
	if len(c.places) == c.end-d.done { // nearly always, and then without a copy
		c.events = d.batch.Events[d.done:c.end:c.end]
		return c
	}
	for _, i := range c.places {
		c.events = append(c.events, d.batch.Events[i])
	}
	return c
}

// after is how many events of the batch are dealt with when n of the chunk are:
// those that are set aside before the next one are, too.
func (c *chunk) after(n int) int {
	if n < len(c.events) {
		return c.places[n]
	}
	return c.end
}

// progress is what is stored when the first n events of the chunk are dealt with.
func (c *chunk) progress(n int) es.Progress {
	p := c.reader.progress()
	p.Checkpoint = c.batch.Prefix(c.after(n))
	for _, e := range c.batch.Events[c.done:c.after(n)] {
		if c.parked[e.Stream] {
			p.Park = append(p.Park, c.failure(e))
		}
	}
	return p
}

// failure is why an event is set aside.
func (r *reader) failure(e es.Recorded) es.Failure {
	f := r.reasons[e.Position]
	f.Position, f.Stream, f.Version = e.Position, e.Stream, e.Version
	return f
}

// tell tells of events that are set aside.
func (r *reader) tell(ctx context.Context, parked []es.Failure) {
	for _, f := range parked {
		delete(r.reasons, f.Position)
		if t := r.runner.opts.Tracers.Handle; t != nil {
			t.TraceParked(ctx, r.subscription, f)
		}
	}
}

// giveUp is for an event whose attempts are used up.
func (r *reader) giveUp(e es.Recorded, failed *handlerError) error {
	if r.consumer.OnFailure == Stop {
		return &DeliveryError{Consumer: r.consumer.Name, Event: e, Attempts: r.consumer.Attempts, Err: failed.err}
	}
	r.parked[e.Stream] = true
	r.waits.Store(true)
	r.reasons[e.Position] = es.Failure{Stream: e.Stream, Error: reason(failed.err), Attempts: r.consumer.Attempts}
	return nil
}

// handOver calls the handlers. It returns how many events are dealt with, with
// their progress stored.
func (r *reader) handOver(ctx context.Context, w work, attempt int) (int, error) {
	start, done := time.Now(), func(int, error) {}
	if t := r.runner.opts.Tracers.Handle; t != nil && len(w.events) > 0 {
		ctx, done = t.TraceHandle(ctx, Handling{r.consumer.Name, r.subscription, w.events, attempt})
	}
	w.began = waiting(ctx, r.log, "begin")
	n, err := r.consumer.Delivery.run(ctx, r.runner.store, w)
	w.began()
	failed, ok := errors.AsType[*handlerError](err)
	if ok {
		done(n, failed.err)
	} else {
		done(n, err)
	}
	if n > 0 || err == nil {
		r.saved(ctx, start, nil)
	} else if !ok {
		r.saved(ctx, start, err)
	}
	return n, err
}

func (r *reader) limits() limits {
	return limits{timeout: r.consumer.HandleTimeout, until: time.Now().Add(r.consumer.SaveInterval), others: r.consumer.selects()}
}

// pause waits before the next attempt.
func (r *reader) pause(ctx context.Context, attempts int) error {
	if !sleep(ctx, backoff(r.consumer.RetryDelay, time.Minute, attempts)) {
		return ctx.Err()
	}
	return nil
}
