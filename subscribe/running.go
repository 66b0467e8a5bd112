package subscribe

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/peatlog/peat/es"
)

// grace is how long the end of a session waits for handlers before it gives the
// leases of the others back.
const grace = time.Second

// running is a reader at work.
type running struct {
	*reader
	cancel context.CancelFunc
	done   chan struct{} // closed behind err
	err    error
	ending bool // it was told to end
}

// end tells the reader to end.
func (r *running) end() {
	r.ending = true
	r.cancel()
}

// start sets a reader to work, whose lease is held.
func (w *works) start(ctx context.Context, name string) {
	want := w.wanted[name]
	ctx, cancel := context.WithCancel(ctx)
	r := &running{cancel: cancel, done: make(chan struct{}), reader: &reader{
		runner: w.Runner, consumer: want.consumer, part: want.part, subscription: name,
		log: w.opts.Logger.With("subscription", name), wake: make(chan struct{}, 1),
		ahead: ahead{feed: w.store, opts: want.consumer.feedOptions(want.part.segment, want.part.segments)},
	}}
	r.building.Store(want.building)
	r.log.InfoContext(ctx, "began", "holder", w.opts.Holder)
	if t := w.opts.Tracers.Lease; t != nil {
		t.TraceLease(ctx, name, true)
	}
	w.mu.Lock()
	w.running[name] = r
	w.mu.Unlock()
	go func() {
		defer close(r.done)
		r.err = r.run(ctx)
	}()
}

// reap gives back the leases of the readers that have ended.
func (w *works) reap(ctx context.Context) error {
	var ended []string
	for name, r := range w.running {
		select {
		case <-r.done:
			ended = append(ended, name)
			w.forget(ctx, name, r)
		default:
		}
	}
	if len(ended) == 0 {
		return nil
	}
	ctx, cancel := w.asking(ctx)
	defer cancel()
	return w.session.Release(ctx, ended)
}

// forget takes note of a reader that has ended.
func (w *works) forget(ctx context.Context, name string, r *running) {
	r.end()
	switch {
	case errors.Is(r.err, es.ErrStaleCheckpoint):
		r.log.WarnContext(ctx, "overtaken: somebody else has claimed this subscription or stored progress, or its row was deleted", "error", r.err)
		// Not before it is known whether the generation is wanted, and not at once.
		w.nextPlan, w.paused[name] = time.Time{}, time.Now().Add(w.opts.Recheck)
	case r.err != nil:
		w.stopped[name] = r.err
	}
	r.log.InfoContext(ctx, "ended")
	if t := w.opts.Tracers.Lease; t != nil {
		t.TraceLease(ctx, name, false)
	}
	w.mu.Lock()
	delete(w.running, name)
	w.mu.Unlock()
}

// end ends the readers of a session that is over. One whose handler does not mind the
// end of its context is waited for when ctx has ended, too; otherwise it has lost its
// lease, and the others are not to wait for it.
func (w *works) end(ctx context.Context) {
	for _, r := range w.running {
		r.end()
	}
	w.awaitReaders(time.After(grace))
	lasting := context.WithoutCancel(ctx)
	if err := w.reap(lasting); err != nil {
		w.opts.Logger.DebugContext(ctx, "leases were not given back one by one", "error", err)
	}
	if len(w.running) > 0 {
		w.opts.Logger.WarnContext(ctx, "readers take long to end; does a handler not mind the end of its context?", "subscriptions", slices.Sorted(maps.Keys(w.running)))
	}
	if ctx.Err() != nil {
		w.awaitAll()
	}
	closing, cancel := context.WithTimeout(lasting, grace)
	defer cancel()
	if err := w.session.Close(closing); err != nil {
		w.opts.Logger.DebugContext(ctx, "the session did not close in good order", "error", err)
	}
}

// awaitAll waits for all that was started.
func (w *works) awaitAll() {
	w.awaitReaders(nil)
	w.background.Wait()
}

// awaitReaders waits until all readers have ended, or patience has.
func (w *works) awaitReaders(patience <-chan time.Time) {
	for _, r := range w.running {
		select {
		case <-r.done:
		case <-patience:
			return
		}
	}
}
