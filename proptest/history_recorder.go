package proptest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

// Recorder records the history of a run. The zero value is ready. Safe for concurrent
// use; so are the followers that it records.
type Recorder struct {
	mu        sync.Mutex
	writes    []Write
	log       []Event
	followers []*Following
}

// Wrote records an append that the caller has watched.
func (r *Recorder) Wrote(w Write) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes = append(r.writes, w)
}

// Appender records what is appended to a store outside of a transaction. Events without
// ids are given some. causes, if any, are the events that the writer has read before.
func (r *Recorder) Appender(to es.Appender, causes ...uuid.UUID) es.Appender {
	return recorded{to: to, done: func(w Write) { w.Causes = causes; r.Wrote(w) }}
}

// Transaction records what run appends through the appender that record makes of that
// of a transaction. It is one write, and has landed if run returns no error. What run
// rolls back to a savepoint it must not record.
func (r *Recorder) Transaction(run func(record func(tx es.Appender) es.Appender) error) error {
	whole := Write{Began: time.Now()}
	err := run(func(tx es.Appender) es.Appender {
		return recorded{to: tx, done: func(w Write) {
			if w.Outcome == Landed { // a conflict leaves the transaction usable
				whole.Events = append(whole.Events, w.Events...)
			}
		}}
	})
	whole.Outcome, whole.Ended = outcomeOf(err), time.Now()
	r.Wrote(whole)
	return err
}

// recorded is an appender whose appends are recorded.
type recorded struct {
	to   es.Appender
	done func(w Write)
}

func (a recorded) Append(ctx context.Context, stream es.StreamID, expected es.Expected, events ...es.EventData) (es.AppendResult, error) {
	events = slices.Clone(events)
	w := Write{Events: make([]Event, len(events))}
	for i := range events {
		if events[i].ID == uuid.Nil {
			var err error
			if events[i].ID, err = uuid.NewV7(); err != nil {
				return es.AppendResult{}, err
			}
		}
		w.Events[i] = Event{ID: events[i].ID, Stream: stream}
	}
	w.Began = time.Now()
	result, err := a.to.Append(ctx, stream, expected, events...)
	w.Ended, w.Outcome = time.Now(), outcomeOf(err)
	for i := range w.Events {
		if err == nil {
			w.Events[i].Version = result.Version - int64(len(events)-1-i)
		}
	}
	if len(events) > 0 {
		a.done(w)
	}
	return result, err
}

func outcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return Landed
	case errors.Is(err, es.ErrOutcomeUnknown):
		return Unknown
	default:
		return Failed
	}
}

// Log records what the log holds in the end, such as what a store's ReadAll yields.
func (r *Recorder) Log(all iter.Seq2[es.Recorded, error]) error {
	log := []Event{}
	for rec, err := range all {
		if err != nil {
			return err
		}
		log = append(log, EventOf(rec))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = log
	return nil
}

// Follow begins to record a follower. The steps of f come before those that follow.
func (r *Recorder) Follow(f Follower) *Following {
	f.Steps = slices.Clone(f.Steps)
	w := &Following{f: f}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.followers = append(r.followers, w)
	return w
}

// Following is a follower that is recorded.
type Following struct {
	mu sync.Mutex
	f  Follower
}

func (w *Following) step(s Step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.At = time.Now()
	w.f.Steps = append(w.f.Steps, s)
}

// Delivered records that it was given these events, in this order.
func (w *Following) Delivered(events ...es.Recorded) {
	for _, e := range events {
		w.step(Step{Kind: Delivered, Event: EventOf(e)})
	}
}

// Checkpointed records that what this run was given is known to be stored as dealt with.
func (w *Following) Checkpointed() { w.step(Step{Kind: Checkpointed}) }

// Restarted records that a new run begins behind what is stored.
func (w *Following) Restarted() { w.step(Step{Kind: Restarted}) }

// Reset records that a new run begins at the beginning of the log.
func (w *Following) Reset() { w.step(Step{Kind: Reset}) }

// Count returns how many different events it was given.
func (w *Following) Count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[uuid.UUID]bool{}
	for _, s := range w.f.Steps {
		if s.Kind == Delivered {
			seen[s.Event.ID] = true
		}
	}
	return len(seen)
}

// History returns what was recorded so far.
func (r *Recorder) History() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := History{Writes: slices.Clone(r.writes), Log: slices.Clone(r.log)}
	for _, w := range r.followers {
		w.mu.Lock()
		f := w.f
		f.Steps = slices.Clone(f.Steps)
		w.mu.Unlock()
		h.Followers = append(h.Followers, f)
	}
	return h
}

// Check fails the test if the history is not in order, and shows what is wrong.
func (r *Recorder) Check(t testing.TB) {
	t.Helper()
	if v := Check(r.History()); len(v) > 0 {
		t.Error(v)
	}
}
