package proptest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The same scripts come to the same on the simulated log and on PostgreSQL: what each
// statement answers, who waits for whom, what each reader gets and where it stands, and
// in the end the whole log, with transaction ids, snapshots and positions.
//
// Each of the two parts plays as many scripts as -rapid.checks says, 100 by default.
// There is no crash in them: the recovery of a server takes as long as thirty scripts. What
// a crash leaves is the machine's matter, and that of the crash tests of package subscribe.
func TestDifferential(t *testing.T) {
	t.Parallel()
	server := newPGWorld(t, nil)
	for _, part := range []struct {
		name  string
		steps int
	}{{"short", 15}, {"long", 50}} {
		t.Run(part.name, func(t *testing.T) {
			var last script // of those that differ
			t.Cleanup(func() {
				if last != nil {
					t.Logf("shrunk to\n%s", shrunkDifference(server, last))
				}
			})
			rapid.Check(t, func(t *rapid.T) {
				s := withoutRace(scripts(limits{steps: part.steps}).Draw(t, "script"))
				if diff := difference(server, s); diff != "" {
					last = s
					t.Fatalf("after\n%s\n%s", s, diff)
				}
			})
		})
	}
}

// A bug in the statements of the feed is caught by no more scripts than a run of
// TestDifferential has: here the rows that committed late are not looked for.
func TestDifferentialCatchesPlantedBug(t *testing.T) {
	t.Parallel()
	planted := 0
	server := newPGWorld(t, func(sql []byte) []byte {
		changed := bytes.ReplaceAll(sql, []byte("FROM e\n WHERE e.global_position > $1"), []byte("FROM e\n WHERE false AND e.global_position > $1"))
		if len(changed) > len(sql) {
			planted++
		}
		return changed
	})
	drawn := scripts(limits{steps: 50})
	for seed := range 200 {
		s := withoutRace(drawn.Example(seed))
		if difference(server, s) != "" {
			t.Logf("caught by script %d of 200, shrunk to\n%s", seed+1, shrunkDifference(server, s))
			return
		}
	}
	t.Errorf("it is not caught; planted %d times", planted)
}

// shrunkDifference is the shortest script that makes a difference, and the difference.
func shrunkDifference(server *pgWorld, s script) string {
	tries := 0
	s = shrink(s, func(s script) (script, bool) {
		s = withoutRace(run(s, mutant{}).script) // what can be taken
		tries++
		return s, tries < 500 && difference(server, s) != ""
	})
	return s.String() + difference(server, s)
}

// withoutRace is a script up to where two statements would go on at the same time.
func withoutRace(s script) script {
	for run(s, mutant{}).sim.race {
		s = s[:len(s)-1]
	}
	return s
}

// difference plays a script on both and returns how they differ (-simulated +server).
func difference(server *pgWorld, s script) string {
	sim, there := newPlay(mutant{}), newPlayOn(server, false)
	defer sim.stop()
	server.reset()
	server.deadlocks = run(s, mutant{}).deadlocks
	for i, st := range s {
		server.at = i + 1
		sim.do(st)
		there.do(st)
		if diff := cmp.Diff(sim.trace[i], there.trace[i]); diff != "" {
			return "step " + st.String() + ":\n" + diff
		}
	}
	sim.finish()
	there.finish()
	lines := func(p *play, state string) []string { return append(p.broken, strings.Split(state, "\n")...) }
	return cmp.Diff(lines(sim, sim.sim.state(sim)), lines(there, server.state(there)))
}
