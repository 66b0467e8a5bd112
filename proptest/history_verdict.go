package proptest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is a way in which a history can be wrong.
type Fault string

const (
	// Lost: an event that is in the log was not delivered, or an append that
	// succeeded is not in the log.
	Lost Fault = "lost"
	// Repeated: an event was delivered again, and must not have been.
	Repeated Fault = "repeated"
	// Reordered: an event was delivered behind a later one of its stream.
	Reordered Fault = "reordered"
	// Refused: an event was delivered although its append had failed, or is in the
	// log although it had.
	Refused Fault = "refused"
	// Invented: an event was delivered, or is in the log, that nobody has appended.
	Invented Fault = "invented"
	// Premature: an event was delivered before its cause, or before one whose append
	// was over when its own began.
	Premature Fault = "premature"
	// Misplaced: an event has another stream, version or position than it had
	// elsewhere, or shares its place with another event, or the log has a hole
	// before it.
	Misplaced Fault = "misplaced"
)

// Violation is one fault of a history.
type Violation struct {
	Fault Fault
	// Follower is who was given the event, or was not; "" for the log itself.
	Follower string
	Event    Event
	// Other is the event that it collides with: the later one that came before, the
	// cause, the one in its place. The zero value where there is none.
	Other Event
	// Step is the index of the follower's step, -1 for none.
	Step int
	// Detail says it in words.
	Detail string
}

// String prints the violation on one line.
func (v Violation) String() string {
	who := "the log"
	if v.Follower != "" {
		who = v.Follower
	}
	if v.Step >= 0 {
		who = fmt.Sprintf("%s, step %d", who, v.Step)
	}
	return fmt.Sprintf("%s: %s %s: %s", who, v.Fault, v.Event, v.Detail)
}

// String prints the event's place and the end of its id.
func (e Event) String() string {
	id := e.ID.String()
	return fmt.Sprintf("%s@%d (…%s)", e.Stream, e.Version, id[len(id)-8:])
}

// Verdict is what [Check] has found: all violations of a history, none if it is in order.
type Verdict []Violation

// Counts returns how many violations there are of each fault.
func (v Verdict) Counts() map[Fault]int {
	counts := map[Fault]int{}
	for _, x := range v {
		counts[x.Fault]++
	}
	return counts
}

// String prints the number of violations of each fault and the first of them.
func (v Verdict) String() string {
	if len(v) == 0 {
		return "the history is in order"
	}
	var totals []string
	for fault, n := range v.Counts() {
		totals = append(totals, fmt.Sprintf("%d %s", n, fault))
	}
	slices.Sort(totals)
	var b strings.Builder
	b.WriteString(strings.Join(totals, ", "))
	const most = 20
	for _, x := range v[:min(len(v), most)] {
		fmt.Fprintf(&b, "\n%v", x)
	}
	if len(v) > most {
		fmt.Fprintf(&b, "\nand %d more", len(v)-most)
	}
	return b.String()
}

func byPlace(a, b Event) int {
	return cmp.Or(cmp.Compare(a.Stream.String(), b.Stream.String()), cmp.Compare(a.Version, b.Version), cmp.Compare(a.ID.String(), b.ID.String()))
}
