package subscribe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peatlog/peat/es"
)

// storeTimeout bounds what is stored when the runner is already stopping.
const storeTimeout = 5 * time.Second

// Delivery is how the handlers of a consumer get their events. [AtLeastOnce] and
// [Transactional] make one.
type Delivery struct {
	interests
	fault error
	run   func(ctx context.Context, store RunnerStore, w work) (int, error)
	// prepare and takeOver are nil where the handlers cannot be rebuilt.
	prepare  func(ctx context.Context, generation int, p es.Progress) error
	takeOver func(ctx context.Context, store RunnerStore, t es.TakeOver, from int) (bool, error)
}

// work is a number of events to hand over.
type work struct {
	events []es.Recorded
	limits limits
	// began is called when the handlers have what they need.
	began func()
	// progress is what is to be stored when the first n of them are dealt with.
	progress func(n int) es.Progress
}

// handlerError is an error of a handler, not of the store.
type handlerError struct {
	err error
	// index is the event that it is about; with whole, it may be any.
	index int
	whole bool
}

func (e *handlerError) Error() string { return e.err.Error() }
func (e *handlerError) Unwrap() error { return e.err }

func handlerFailed(index int, err error) error {
	if err == nil {
		return nil
	}
	whole, ok := errors.AsType[*wholeError](err)
	if ok {
		err = whole.error
	}
	return &handlerError{err: err, index: index, whole: ok}
}

// AtLeastOnce hands over events outside of any transaction and stores the progress
// afterwards: what was handled and is not stored yet when the process ends comes
// again.
func AtLeastOnce(handlers ...Handler[None]) Delivery {
	all, about, fault := merge(handlers)
	d := Delivery{interests: about, fault: fault}
	d.run = func(ctx context.Context, store RunnerStore, w work) (int, error) {
		w.began()
		n, err := all.handle(ctx, None{}, w.events, w.limits)
		failed := handlerFailed(n, err)
		if n == 0 && failed != nil {
			return 0, failed
		}
		// What is done is done, also when ctx has ended meanwhile.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		if err := store.SaveProgress(ctx, w.progress(n)); err != nil {
			return 0, err
		}
		return n, failed
	}
	if all.prepare != nil {
		d.prepare = func(ctx context.Context, generation int, _ es.Progress) error {
			return all.prepare(ctx, None{}, generation)
		}
		d.takeOver = func(ctx context.Context, store RunnerStore, t es.TakeOver, from int) (bool, error) {
			return store.Switch(ctx, t, func() error { return all.takeOver(ctx, None{}, from, t.To) })
		}
	}
	return d
}

// Transactional hands over events in transactions of in, each of which also stores
// the progress: what the handlers write there takes effect exactly once. in is the
// store, or for PostgreSQL its Pipeline, and must be the store that the runner has;
// handlers for the transactions of another one do not compile.
func Transactional[T any](in es.Transactor[T], handlers ...Handler[T]) Delivery {
	all, about, fault := merge(handlers)
	d := Delivery{interests: about, fault: fault}
	d.run = func(ctx context.Context, _ RunnerStore, w work) (int, error) {
		w.limits.until = time.Time{} // a transaction is whole
		err := in.Deliver(ctx, func(tx T) error {
			w.began()
			n, err := all.handle(ctx, tx, w.events, w.limits)
			return handlerFailed(n, err)
		}, w.progress(len(w.events)))
		switch {
		case err == nil:
			return len(w.events), nil
		case errors.Is(err, es.ErrInterrupted) || errors.Is(err, es.ErrBusy):
			// Whoever noticed it first, it is not the handler's fault. Without the
			// handler's error in it, which would say the opposite.
			return 0, fmt.Errorf("%w: %v", es.ErrInterrupted, err) //nolint:errorlint // see above
		case errors.Is(err, es.ErrRejected):
			return 0, &handlerError{err: err, whole: true}
		}
		return 0, err
	}
	if all.prepare != nil {
		d.prepare = func(ctx context.Context, generation int, p es.Progress) error {
			return in.Deliver(ctx, func(tx T) error { return all.prepare(ctx, tx, generation) }, p)
		}
		d.takeOver = func(ctx context.Context, _ RunnerStore, t es.TakeOver, from int) (bool, error) {
			return in.TakeOver(ctx, t, func(tx T) error { return all.takeOver(ctx, tx, from, t.To) })
		}
	}
	return d
}
