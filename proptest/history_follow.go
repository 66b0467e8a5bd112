package proptest

import (
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

// following is how far a follower has come.
type following struct {
	*checker
	f *Follower

	ever map[uuid.UUID]bool // delivered at any time
	run  map[uuid.UUID]bool // delivered in this run
	// last is the highest version of each stream that this run has been given, ahead
	// the one that any run has, stored the one that will not come again.
	last, ahead, stored map[es.StreamID]Event
	// latest is the event delivered so far whose append began last.
	latest *known
}

// follow judges what a follower was given.
func (c *checker) follow(f *Follower) {
	w := &following{
		checker: c, f: f,
		ever: map[uuid.UUID]bool{}, run: map[uuid.UUID]bool{},
		last: map[es.StreamID]Event{}, ahead: map[es.StreamID]Event{}, stored: map[es.StreamID]Event{},
	}
	for i, s := range f.Steps {
		switch s.Kind {
		case Delivered:
			w.deliver(i, s.Event)
		case Checkpointed:
			maps.Copy(w.stored, w.last)
		case Restarted:
			w.restart()
		case Reset:
			clear(w.stored)
			w.restart()
		}
	}
	w.end()
}

// restart begins a run. An effect that takes place once does so across runs.
func (w *following) restart() {
	if w.f.Guarantee == ExactlyOnce {
		return
	}
	clear(w.run)
	w.last = maps.Clone(w.stored)
}

func (w *following) found(fault Fault, step int, e, other Event, format string, args ...any) {
	w.checker.found(fault, w.f.Name, step, e, other, format, args...)
}

func (w *following) deliver(step int, e Event) {
	k := w.happened(step, e)
	w.order(step, e)
	if k != nil && !w.ever[e.ID] {
		w.causes(step, k)
		w.realTime(step, k)
	}
	w.ever[e.ID], w.run[e.ID] = true, true
	if e.Version > w.last[e.Stream].Version || w.f.Guarantee == AtLeastOnce {
		w.last[e.Stream] = e
	}
	if k != nil && k.outcome == Landed && e.Version > w.ahead[e.Stream].Version {
		w.ahead[e.Stream] = e
	}
}

// happened tells whether the event has happened, and returns what is known of it.
func (w *following) happened(step int, e Event) *known {
	k, ok := w.known[e.ID]
	switch {
	case !ok:
		w.found(Invented, step, e, Event{}, "nobody has appended it")
		return nil
	case k.outcome == Failed:
		w.found(Refused, step, e, Event{}, "its append failed")
	case k.outcome == TakenBack && w.f.Guarantee == ExactlyOnce:
		w.found(Refused, step, e, Event{}, "it takes effect although its append was taken back")
	case k.outcome == Landed:
		w.agree(w.f.Name, step, k, e)
	}
	if !w.f.selects(e) {
		w.found(Invented, step, e, Event{}, "the follower does not select it")
	}
	return k
}

// order compares with what came before of the same stream.
func (w *following) order(step int, e Event) {
	if before := w.stored[e.Stream]; e.Version <= before.Version && w.ever[e.ID] {
		w.found(Repeated, step, e, before, "it is stored that %v is dealt with", before)
		return
	}
	if w.f.Guarantee == AtLeastOnce {
		// Going back is a restart that nobody has noticed. But what comes for the
		// first time must not have been passed by.
		if before := w.ahead[e.Stream]; !w.ever[e.ID] && e.Version < before.Version {
			w.found(Reordered, step, e, before, "%v came before it", before)
		}
		return
	}
	before := w.last[e.Stream]
	switch {
	case w.run[e.ID]:
		w.found(Repeated, step, e, Event{}, "it came before")
	case e.Version <= before.Version:
		w.found(Reordered, step, e, before, "%v came before it", before)
	}
}

// causes wants the causes of an event to be there.
func (w *following) causes(step int, k *known) {
	for _, id := range k.causes {
		cause, ok := w.known[id]
		if ok && cause.outcome == Landed && w.f.selects(cause.event) && !w.ever[id] {
			w.found(Premature, step, k.event, cause.event, "its cause %v has not come yet", cause.event)
		}
	}
}

// realTime wants what was over before something else began to come before it.
func (w *following) realTime(step int, k *known) {
	if !w.f.RealTime || k.began.IsZero() {
		return
	}
	if l := w.latest; l != nil && !k.ended.IsZero() && k.ended.Before(l.began) {
		w.found(Premature, step, l.event, k.event, "the append of %v was over %v before its own began, and it comes behind",
			k.event, l.began.Sub(k.ended).Round(time.Microsecond))
	}
	if w.latest == nil || k.began.After(w.latest.began) {
		w.latest = k
	}
}

// end finds what was lost.
func (w *following) end() {
	for _, k := range w.sorted() {
		e := k.event
		switch {
		case k.outcome != Landed || w.ever[e.ID] || !w.f.selects(e):
		case !w.f.Partial:
			w.found(Lost, -1, e, Event{}, "it never came")
		case e.Version > 0 && e.Version < w.ahead[e.Stream].Version:
			w.found(Lost, -1, e, w.ahead[e.Stream], "it never came, and %v did", w.ahead[e.Stream])
		}
	}
}
