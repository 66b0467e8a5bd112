package proptest

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/es"
)

func to(stream int, expected ...es.Expected) part {
	return part{stream, append(expected, es.Any)[0]}
}

func appends(who int, into ...part) step { return step{op: opAppend, who: who, n: 1, into: into} }

func scope(who int, o op) step { return step{op: o, who: who} }

// cases are scripts that are seldom drawn, with what has to come of some of their steps.
var cases = map[string]struct {
	script script
	came   map[int]string // by the number of the step, from 1
}{
	// The stream is not there when the batch locks its streams, and when it writes it is
	// about to change.
	"an expected version is compared under the lock": {
		script{
			scope(1, opBegin), appends(1, to(0)), appends(0, to(0), to(2, es.Exact(1))), appends(2, to(2)),
			scope(2, opBegin), appends(2, to(2)), scope(1, opCommit), scope(2, opCommit),
		},
		map[int]string{3: "waits", 8: "scope 1: version 2, conflict at 2"},
	},
	// It did not when the batch began.
	"a stream has to exist from the beginning": {
		script{
			scope(1, opBegin), appends(1, to(0)), appends(0, to(0), to(2, es.StreamExists)), appends(2, to(2)),
			scope(2, opBegin), appends(2, to(2)), scope(1, opCommit), scope(2, opCommit),
		},
		map[int]string{8: "scope 1: version 2, conflict at 2"},
	},
	// Its predecessor is of a younger transaction, and one in between is running.
	"an event is held until its predecessor is settled": {
		script{
			scope(2, opBegin), scope(2, opTouch), scope(1, opBegin), scope(1, opTouch), appends(0, to(2)), appends(2, to(2)), scope(2, opCommit),
			{op: opPoll, who: 1, n: 10}, scope(1, opCommit), {op: opPoll, who: 1, n: 10},
		},
		map[int]string{8: "", 10: "b-1 version 1, b-1 version 2"},
	},
	"who closes a ring has to go": {
		script{
			scope(0, opBegin), scope(1, opBegin), appends(0, to(0)), appends(1, to(1)), appends(0, to(1)), appends(1, to(0)),
			scope(0, opCommit), scope(1, opCommit),
		},
		map[int]string{5: "waits", 6: "deadlock; scope 1: version 1", 8: "failed"},
	},
	"a batch that has waited closes a ring": {
		script{
			scope(1, opBegin), appends(1, to(0)), scope(2, opBegin), appends(2, to(2)), scope(0, opBegin), appends(0, to(1)),
			appends(0, to(0), to(2)), appends(2, to(1)), scope(1, opCommit), scope(2, opCommit),
		},
		map[int]string{7: "waits", 8: "waits", 9: "scope 1: deadlock; scope 3: version 1"},
	},
	"batches lock in the order of their streams": {
		script{
			scope(0, opBegin), scope(1, opBegin), appends(0, to(2), to(0)), appends(1, to(0), to(2)), scope(0, opCommit), scope(1, opCommit),
		},
		map[int]string{4: "waits", 5: "scope 2: version 2, version 2"},
	},
	"a savepoint gives back what was locked in it": {
		script{
			scope(0, opBegin), appends(0, to(0)), scope(0, opSavepoint), appends(0, to(1), to(0)), appends(1, to(1)),
			scope(0, opRollbackTo), appends(2, to(0)), appends(0, to(0)), scope(0, opCommit),
		},
		map[int]string{5: "waits", 6: "scope 2: version 1", 7: "waits", 9: "scope 3: version 3"},
	},
	"a row that is locked already is not locked again": {
		script{
			appends(0, to(0)), scope(0, opBegin), appends(0, to(0, es.NoStream)), scope(0, opSavepoint), appends(0, to(0, es.Exact(5))),
			appends(0, to(0)), scope(0, opSavepoint), appends(0, to(0, es.NoStream)), scope(0, opRollbackTo), appends(1, to(0)), scope(0, opCommit),
		},
		map[int]string{5: "conflict at 1", 10: "waits", 11: "scope 2: version 3"},
	},
	"a deadlock in a savepoint undoes the savepoint": {
		script{
			scope(0, opBegin), scope(1, opBegin), appends(0, to(0)), scope(0, opSavepoint), appends(1, to(1)), appends(1, to(0)),
			appends(0, to(1)), scope(0, opTouch), scope(0, opRollbackTo), scope(0, opCommit), scope(1, opCommit),
		},
		map[int]string{6: "waits", 7: "deadlock", 8: "failed", 10: "scope 2: version 2"},
	},
	"a deadlock on a row that is there costs the savepoint's id": {
		script{
			appends(0, to(1)), scope(2, opBegin), appends(2, to(0)), scope(1, opBegin), appends(1, to(1)), appends(1, to(0)),
			scope(2, opSavepoint), appends(2, to(1)),
		},
		map[int]string{6: "waits", 8: "deadlock"},
	},
}

func TestCases(t *testing.T) {
	t.Parallel()
	server := newPGWorld(t, nil)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := run(c.script, mutant{})
			if len(p.broken) > 0 || len(p.script) < len(c.script) || p.sim.race {
				t.Errorf("%d of %d steps, race %v", len(p.script), len(c.script), p.sim.race)
			}
			for number, want := range c.came {
				if diff := cmp.Diff(want, p.trace[number-1]); diff != "" {
					t.Errorf("step %d (-want +got):\n%s", number, diff)
				}
			}
			if t.Failed() {
				t.Logf("after\n%s", p)
			}
			if diff := difference(server, slices.Clone(c.script)); diff != "" {
				t.Errorf("PostgreSQL differs (-simulated +server):\n%s", diff)
			}
		})
	}
}
