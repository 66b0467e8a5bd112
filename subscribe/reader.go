package subscribe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/peatlog/peat/es"
)

// lazily is how long progress may wait to be stored that only passed by events
// which the filter skips.
const lazily = 100 * time.Millisecond

// reader works on one part of a consumer, as long as the process holds its lease.
// It belongs to one goroutine, but for what is atomic.
type reader struct {
	runner       *Runner
	consumer     Consumer
	part         part
	subscription string
	log          *slog.Logger
	ahead        ahead

	// building tells that the part is of a generation that is being built.
	building atomic.Bool
	// wake holds a token when there may be something new.
	wake chan struct{}
	// lookAgain tells that parked events may have been asked for.
	lookAgain atomic.Bool
	// waits tells that there are parked events, which may be asked for.
	waits atomic.Bool
	// caughtUp tells that the reader has once found nothing.
	caughtUp atomic.Bool
	// atEnd tells that the last poll came to the end of what there was. Under a load
	// that never pauses, one never finds nothing.
	atEnd atomic.Bool
	// resting is where the reader waits for news, nil while it works.
	resting atomic.Pointer[es.Checkpoint]

	revision int64         // of the stored progress
	next     es.Checkpoint // behind what is dealt with
	saveBy   time.Time     // when next is to be stored, zero if it is
	parked   map[es.StreamID]bool
	reasons  map[int64]es.Failure // of events that are to be parked
	failures int                  // of the store, in a row
}

// poke wakes the reader. It never blocks.
func (r *reader) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run works until ctx ends, another process overtakes, or nothing more can be done.
// It returns why it ended, nil for the first.
func (r *reader) run(ctx context.Context) error {
	defer r.ahead.end()
	ctx = context.WithValue(ctx, generationKey{}, r.part.generation)
	for {
		err := r.work(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, es.ErrLostCheckpoint):
			r.log.InfoContext(ctx, "the server has crashed, going back to the stored checkpoint")
			continue
		case errors.Is(err, es.ErrStaleCheckpoint):
			return err
		case isFinal(err) && r.overtaken(ctx):
			return &es.StaleCheckpointError{Subscription: r.subscription, Revision: r.revision}
		case isFinal(err):
			r.recordFailure(ctx, err)
			return err
		}
		r.failures++
		r.log.WarnContext(ctx, "the store failed, trying again", "error", err, "failures", r.failures)
		if !sleep(ctx, backoff(100*time.Millisecond, 5*time.Second, r.failures)) {
			return nil
		}
	}
}

// isFinal tells an error that trying again does not mend.
func isFinal(err error) bool {
	if _, ok := errors.AsType[*DeliveryError](err); ok {
		return true
	}
	for _, final := range []error{es.ErrOrderingViolation, es.ErrCheckpoint, es.ErrForeignEpoch, es.ErrInvalidStream} {
		if errors.Is(err, final) {
			return true
		}
	}
	return false
}

// overtaken tells that another process works on this by now. Then a failure may come
// from what that one has written, and is no reason to stop.
func (r *reader) overtaken(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	_, revision, err := r.runner.store.LoadCheckpoint(ctx, r.subscription)
	return err == nil && revision != r.revision
}

func (r *reader) recordFailure(ctx context.Context, err error) {
	r.log.ErrorContext(ctx, "stopped", "error", err)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := r.runner.store.RecordFailure(ctx, r.subscription, r.revision, reason(err)); err != nil {
		r.log.WarnContext(ctx, "the reason could not be recorded", "error", err)
	}
}

// work claims the checkpoint and follows the log until something fails.
func (r *reader) work(ctx context.Context) error {
	if err := r.claim(ctx); err != nil {
		return err
	}
	for {
		if r.lookAgain.Swap(false) {
			if err := r.redrive(ctx); err != nil {
				return err
			}
		}
		more, err := r.poll(ctx)
		if err != nil {
			return err
		}
		if !more {
			if err := r.rest(ctx); err != nil {
				return err
			}
		}
	}
}

func (r *reader) claim(ctx context.Context) (err error) {
	stop := waiting(ctx, r.log, "claim")
	r.next, r.revision, err = r.runner.store.ClaimCheckpoint(ctx, r.subscription, r.runner.opts.Holder)
	if stop(); err != nil {
		return err
	}
	if err := r.stillWanted(ctx); err != nil {
		return err
	}
	r.saveBy, r.reasons = time.Time{}, map[int64]es.Failure{}
	r.lookAgain.Store(true)
	if r.building.Load() && r.next == "" {
		err := r.consumer.Delivery.prepare(ctx, r.part.generation, r.progress())
		if err != nil {
			return err
		}
		return r.reload(ctx)
	}
	return nil
}

// stillWanted checks that the generation has not been replaced before the claim: what
// happens behind it is refused by the revision.
func (r *reader) stillWanted(ctx context.Context) error {
	if r.consumer.Delivery.prepare == nil {
		return nil
	}
	g, err := r.runner.store.Generations(ctx, r.consumer.Name, r.consumer.Segments)
	if err == nil && g.Live != r.part.generation && g.Building != r.part.generation {
		err = fmt.Errorf("generation %d has been replaced: %w", r.part.generation, es.ErrStaleCheckpoint)
	}
	return err
}

// reload takes the stored revision, where it is not known whether it has changed.
func (r *reader) reload(ctx context.Context) (err error) {
	_, r.revision, err = r.runner.store.LoadCheckpoint(ctx, r.subscription)
	return err
}

// progress is what is stored when everything up to next is dealt with.
func (r *reader) progress() es.Progress {
	return es.Progress{Subscription: r.subscription, Revision: r.revision, Checkpoint: r.next}
}

// poll reads a batch and deals with it. It tells whether to go on at once.
func (r *reader) poll(ctx context.Context) (more bool, err error) {
	b, err := r.feed(ctx)
	if err != nil {
		return false, err
	}
	if len(b.Events) > 0 {
		err = r.deliver(ctx, b)
	} else {
		r.passBy(b)
	}
	if err != nil {
		return false, err
	}
	r.next, r.failures = b.Next, 0
	r.atEnd.Store(!b.More)
	if len(b.Events) == 0 && !b.Moved && !b.More {
		r.caughtUp.Store(true)
	}
	// Once it has caught up, what came meanwhile has woken it.
	return b.More || !r.caughtUp.Load(), nil
}

func (r *reader) feed(ctx context.Context) (es.Batch, error) {
	done := func(int, error) {}
	if t := r.runner.opts.Tracers.Poll; t != nil {
		ctx, done = t.TracePoll(ctx, r.subscription)
	}
	stop := waiting(ctx, r.log, "feed")
	b, err := r.ahead.read(ctx, r.next)
	stop()
	done(len(b.Events), err)
	if violation, ok := errors.AsType[*es.OrderingViolationError](err); ok {
		violation.Subscription = r.subscription
	}
	return b, err
}

// rest waits for news, and stores what is not stored yet.
func (r *reader) rest(ctx context.Context) error {
	at := r.next
	r.resting.Store(&at)
	defer r.resting.Store(nil)
	var save <-chan time.Time
	if !r.saveBy.IsZero() {
		timer := time.NewTimer(time.Until(r.saveBy))
		defer timer.Stop()
		save = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.wake:
		if r.saveBy.IsZero() || time.Now().Before(r.saveBy) {
			return nil
		}
	case <-save:
	}
	return r.save(ctx, r.progress())
}

// passBy takes note of a batch without events, whose progress is worth storing, too,
// if it passed by some that others may wait for, or by nothing at all in a generation
// that is being built, which shows by its progress that it has come as far as the live
// one.
func (r *reader) passBy(b es.Batch) {
	if r.saveBy.IsZero() && (b.Moved || r.building.Load() && b.Next != r.next) {
		r.saveBy = time.Now().Add(lazily)
	}
}

// save stores progress outside of a handler's transaction.
func (r *reader) save(ctx context.Context, p es.Progress) error {
	start, stop := time.Now(), waiting(ctx, r.log, "save progress")
	err := r.runner.store.SaveProgress(ctx, p)
	stop()
	r.saved(ctx, start, err)
	return err
}

// saved takes note of progress that was stored, or was not.
func (r *reader) saved(ctx context.Context, start time.Time, err error) {
	if t := r.runner.opts.Tracers.Checkpoint; t != nil {
		t.TraceCheckpoint(ctx, r.subscription, time.Since(start), err)
	}
	if err == nil {
		r.revision++
		r.saveBy = time.Time{}
		r.runner.moved.announce()
	}
}
