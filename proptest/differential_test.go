package proptest

import (
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
	real := newPGWorld(t)
	for _, part := range []struct {
		name  string
		steps int
	}{{"short", 15}, {"long", 50}} {
		t.Run(part.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				s := withoutRace(scripts(limits{steps: part.steps}).Draw(t, "script"))
				if diff := difference(real, s); diff != "" {
					t.Fatalf("after\n%s\n%s", s, diff)
				}
			})
		})
	}
}

// withoutRace is a script up to where two statements would go on at the same time.
func withoutRace(s script) script {
	for run(s, mutant{}).sim.race {
		s = s[:len(s)-1]
	}
	return s
}

// differ plays a script on both and returns how they differ (-simulated +real).
func difference(real *pgWorld, s script) string {
	sim, there := newPlay(mutant{}), newPlayOn(real, false)
	defer sim.stop()
	real.reset()
	real.deadlocks = run(s, mutant{}).deadlocks
	for i, st := range s {
		real.at = i + 1
		sim.do(st)
		there.do(st)
		if diff := cmp.Diff(sim.trace[i], there.trace[i]); diff != "" {
			return "step " + st.String() + ":\n" + diff
		}
	}
	sim.finish()
	there.finish()
	return cmp.Diff(append(sim.broken, sim.sim.state(sim)), append(there.broken, real.state(there)))
}
