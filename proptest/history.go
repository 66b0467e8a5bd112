// Package proptest tests event-sourced code with properties: what must hold whatever
// happens.
//
// # Histories
//
// A [Recorder] notes what the writers of a real system were told and what its followers
// were given, while processes are killed and connections cut; [Check] then says what was
// lost, repeated, reordered, or delivered although it never happened.
package proptest

import (
	"time"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

// History is what was seen of one run of a real system: what its writers were told,
// what its followers were given, and what the log held in the end. [Check] judges it,
// a [Recorder] records it.
type History struct {
	// Writes are the appends, in any order. None at all means that nobody recorded
	// them, and that the Log alone is believed.
	Writes []Write
	// Log is what the log held when everything was over, by position; nil if nobody
	// has looked. With it, a write whose outcome is unknown has landed if it is there.
	Log []Event
	// Followers are those that were given the events.
	Followers []Follower
}

// Event says which event it is, and where. Version and Position are 0 where nobody
// knows them.
type Event struct {
	ID                uuid.UUID
	Stream            es.StreamID
	Version, Position int64
}

// EventOf returns which event this is.
func EventOf(r es.Recorded) Event {
	return Event{ID: r.ID, Stream: r.Stream, Version: r.Version, Position: r.Position}
}

// Outcome is what the writer of an append was told.
type Outcome int

const (
	// Landed: the append succeeded.
	Landed Outcome = iota
	// Failed: it did not, and nothing of it may ever be seen.
	Failed
	// Unknown: the answer was lost. All of its events are there, or none.
	Unknown
	// TakenBack: the server acknowledged it and forgot it in a crash, as it may with
	// synchronous_commit switched off. It may have been delivered before that, to a
	// follower that has not stored it.
	TakenBack
)

// Write is one append, or all that one transaction appended: what lands together or
// not at all. Repeating an append with the same ids is another Write; the best of the
// outcomes counts.
type Write struct {
	Events  []Event
	Outcome Outcome
	// Began and Ended enclose the append, on a clock that all writes share. Zero
	// where nobody has looked.
	Began, Ended time.Time
	// Causes are the events because of which it was written: its writer had read them.
	Causes []uuid.UUID
}

// Guarantee is what a follower was promised. The zero value is [ExactlyOnce].
type Guarantee int

const (
	// ExactlyOnce: every event takes effect once, whatever ends and begins again.
	ExactlyOnce Guarantee = iota
	// OncePerRun: after a restart events come again, namely those behind the last
	// checkpoint that is known to be stored; within a run each comes once.
	OncePerRun
	// AtLeastOnce: events behind the stored checkpoint may come again at any time,
	// because the follower does not notice when it is begun again.
	AtLeastOnce
)

// Follower is one subscriber, and what happened to it.
type Follower struct {
	Name      string
	Guarantee Guarantee
	// Selects tells which events it is to be given; nil for all.
	Selects func(Event) bool
	// Partial tells that it did not come to the end of the log. What it was not
	// given is lost only if something later of the stream was given.
	Partial bool
	// RealTime tells that an event whose append was over before another one's began
	// must also come before it, across streams. Feeds under [es.Committed] promise
	// that.
	RealTime bool
	// Steps are what happened to it, in order.
	Steps []Step
}

// StepKind is what can happen to a follower.
type StepKind int

const (
	// Delivered: it was given an event.
	Delivered StepKind = iota
	// Checkpointed: it is known to be stored that everything which this run has been
	// given is dealt with.
	Checkpointed
	// Restarted: a new run began, behind what is stored.
	Restarted
	// Reset: a new run began, at the beginning of the log.
	Reset
)

// Step is something that happened to a follower.
type Step struct {
	Kind  StepKind
	Event Event // of Delivered
	// At is when, for people to read; the order of the steps is what counts.
	At time.Time
}

func (f *Follower) selects(e Event) bool { return f.Selects == nil || f.Selects(e) }
