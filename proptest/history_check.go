package proptest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

// Check judges a history: nothing that has landed is lost, nothing comes twice in a run
// or out of the order of its stream, nothing is delivered that has not happened, and no
// effect before its cause. It takes time in proportion to the size of the history, and
// changes nothing in it.
//
// It decides by what was recorded: a history without writes and without a log has
// nothing to compare with.
func Check(h History) Verdict {
	c := &checker{known: map[uuid.UUID]*known{}, places: map[slot]Event{}}
	for i := range h.Writes {
		c.wrote(&h.Writes[i])
	}
	if h.Log != nil {
		c.readLog(h)
	} else {
		for i := range h.Followers {
			c.resolve(&h.Followers[i])
		}
		c.spread(h.Writes)
	}
	c.settle()
	for i := range h.Followers {
		c.follow(&h.Followers[i])
	}
	return c.verdict
}

// known is what is known of an event.
type known struct {
	event   Event
	outcome Outcome
	// began is when its first write began, ended when one was known to have landed.
	began, ended time.Time
	causes       []uuid.UUID
}

// slot is where an event stands.
type slot struct {
	stream  es.StreamID
	version int64
}

type checker struct {
	known   map[uuid.UUID]*known
	places  map[slot]Event // of the events that have landed, as far as known
	verdict Verdict
}

func (c *checker) found(fault Fault, follower string, step int, e, other Event, format string, args ...any) {
	c.verdict = append(c.verdict, Violation{fault, follower, e, other, step, fmt.Sprintf(format, args...)})
}

// better tells the outcome that says more about an event that several writes wrote:
// one that landed did, and after a lost answer a failure proves nothing.
func better(a, b Outcome) Outcome {
	for _, o := range []Outcome{Landed, TakenBack, Unknown} {
		if a == o || b == o {
			return o
		}
	}
	return Failed
}

func (c *checker) wrote(w *Write) {
	for _, e := range w.Events {
		k, again := c.known[e.ID]
		if !again {
			k = &known{event: e, outcome: w.Outcome, began: w.Began}
			c.known[e.ID] = k
		}
		c.agree("", -1, k, e)
		k.outcome = better(k.outcome, w.Outcome)
		if w.Outcome == Landed && (k.ended.IsZero() || w.Ended.Before(k.ended)) {
			k.ended = w.Ended
		}
		k.causes = append(k.causes, w.Causes...)
	}
}

// agree compares what two have said about an event, and remembers what is new.
func (c *checker) agree(follower string, step int, k *known, e Event) {
	if e.Stream != k.event.Stream || differ(e.Version, k.event.Version) || differ(e.Position, k.event.Position) {
		c.found(Misplaced, follower, step, e, k.event, "elsewhere it is %v at position %d, here at %d", k.event, k.event.Position, e.Position)
		return
	}
	k.event.Version = max(k.event.Version, e.Version)
	k.event.Position = max(k.event.Position, e.Position)
}

func differ(a, b int64) bool { return a != b && a != 0 && b != 0 }

// readLog takes the log as what has really happened, and compares it with the writes.
func (c *checker) readLog(h History) {
	last := map[es.StreamID]int64{}
	inLog := make(map[uuid.UUID]bool, len(h.Log))
	for i, e := range h.Log {
		if last[e.Stream]++; e.Version != last[e.Stream] {
			c.found(Misplaced, "", -1, e, Event{}, "version %d comes as number %d of its stream", e.Version, last[e.Stream])
		}
		if i > 0 && e.Position <= h.Log[i-1].Position {
			c.found(Misplaced, "", -1, e, h.Log[i-1], "position %d is not above the one before", e.Position)
		}
		if inLog[e.ID] {
			c.found(Repeated, "", -1, e, Event{}, "it is in the log twice")
		}
		inLog[e.ID] = true
		c.logged(e, len(h.Writes) > 0)
	}
	c.spread(h.Writes)
	for _, k := range c.sorted() {
		switch {
		case inLog[k.event.ID]:
		case k.outcome == Landed:
			c.found(Lost, "", -1, k.event, Event{}, "its append succeeded, or the rest of it did, and it is not in the log")
		case k.outcome == Unknown:
			k.outcome = Failed
		}
	}
}

// logged takes an event of the log.
func (c *checker) logged(e Event, recorded bool) {
	k, ok := c.known[e.ID]
	if !ok {
		if recorded {
			c.found(Invented, "", -1, e, Event{}, "nobody has appended it")
		}
		c.known[e.ID] = &known{event: e}
		return
	}
	if k.outcome == Failed {
		c.found(Refused, "", -1, e, Event{}, "its append failed, and it is in the log")
	}
	k.outcome = Landed
	c.agree("", -1, k, e)
}

// resolve finds out from what a follower got which unknown writes have landed.
func (c *checker) resolve(f *Follower) {
	for _, s := range f.Steps {
		if k, ok := c.known[s.Event.ID]; ok && s.Kind == Delivered && k.outcome == Unknown {
			k.outcome = Landed
		}
	}
}

// spread completes that: of a write all events land, or none.
func (c *checker) spread(writes []Write) {
	for _, w := range writes {
		landed := slices.ContainsFunc(w.Events, func(e Event) bool { return c.known[e.ID].outcome == Landed })
		for _, e := range w.Events {
			if k := c.known[e.ID]; landed && k.outcome == Unknown {
				k.outcome = Landed
			}
		}
	}
}

// settle sees to it that no two events that have landed stand in one place.
func (c *checker) settle() {
	for _, k := range c.sorted() {
		at := slot{k.event.Stream, k.event.Version}
		other, taken := c.places[at]
		switch {
		case k.outcome != Landed || k.event.Version == 0:
		case taken:
			c.found(Misplaced, "", -1, k.event, other, "%v is in the same place", other)
		default:
			c.places[at] = k.event
		}
	}
}

// sorted returns the known events by place, so that a verdict is always the same.
func (c *checker) sorted() []*known {
	return slices.SortedFunc(maps.Values(c.known), func(a, b *known) int { return byPlace(a.event, b.event) })
}
