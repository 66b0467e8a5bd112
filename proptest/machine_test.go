package proptest

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// run plays a script to its end.
func run(s script, m mutant) *play {
	p := newPlay(m)
	defer p.stop()
	for _, st := range s {
		if p.take(st); len(p.broken) > 0 {
			return p
		}
	}
	p.finish()
	return p
}

// String prints what was played and what came of it, for people.
func (p *play) String() string {
	var b strings.Builder
	for i, s := range p.script {
		fmt.Fprintf(&b, "%3d. %s", i+1, s)
		if p.trace[i] != "" {
			fmt.Fprintf(&b, " → %s", p.trace[i])
		}
		b.WriteByte('\n')
	}
	for _, broken := range p.broken {
		fmt.Fprintf(&b, "     %s\n", broken)
	}
	return b.String()
}

// Whatever happens, in whatever order, what the log and its feed promise holds.
func TestMachine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := scripts(limits{steps: 60, crashes: true, between: true}).Draw(t, "script")
		if p := run(s, mutant{}); len(p.broken) > 0 {
			t.Fatalf("after\n%s", p)
		}
	})
}

// A frontier that errs on the safe side loses, repeats and reorders nothing: a position that
// is too low, a next id that is too high, and a snapshot older than the position only make
// the next window look at more rows. So it does no harm if the process is stopped between
// the statements, or if one of them answers late. What errs on the other side is a mutant.
func TestFrontierMayErrOnTheSafeSide(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		off := slack{
			position: rapid.Int64Range(0, 40).Draw(t, "position too low by"), next: rapid.Int64Range(0, 5).Draw(t, "next too high by"),
			snapshotFirst: rapid.Bool().Draw(t, "snapshot first"),
		}
		s := scripts(limits{steps: 60, crashes: true, between: true}).Draw(t, "script")
		if p := run(s, mutant{slack: off}); len(p.broken) > 0 {
			t.Fatalf("after\n%s", p)
		}
	})
}
