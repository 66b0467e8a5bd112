package proptest

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/peatlog/peat/es"
)

// op is what a step does.
type op string

// Steps of scopes, each a connection that has one transaction at a time.
const (
	opBegin       op = "begin"
	opTouch       op = "touch"     // takes a transaction id and nothing else, as a foreign transaction that pins
	opSavepoint   op = "savepoint" // named s
	opRollbackTo  op = "rollback to savepoint"
	opAppend      op = "append" // in a transaction of its own if none is open
	opCommit      op = "commit"
	opCommitAsync op = "commit, not durably"
	opRollback    op = "rollback"
)

// Steps of readers.
const (
	opPoll      op = "poll" // up to n events
	opStatement op = "one statement of a poll"
	opSave      op = "save"    // up to n events of the last batch, 0 for all
	opDeliver   op = "deliver" // poll, handle and save in one transaction
	opRedrive   op = "redrive" // what is parked
	opRestart   op = "restart" // from the stored checkpoint
	opReset     op = "reset"
	opSteal     op = "lose the lease" // to somebody else
)

// Steps of nobody.
const (
	opPoison op = "poison" // handlers fail on a stream from now on, or no longer
	opCrash  op = "crash"  // loses up to n records of what is not durable
)

// part is an append to one stream.
type part struct {
	stream   int
	expected es.Expected
}

// step is one step of a script.
type step struct {
	op   op
	who  int // the scope or reader
	n    int
	into []part // of an append
}

// script is what happens, one step after another.
type script []step

const scopes = 3

// streams are where scripts append.
var streams = []es.StreamID{{Category: "a", Key: "1"}, {Category: "a", Key: "2"}, {Category: "b", Key: "1"}}

// readerSpec is one of the subscriptions that a script's readers follow.
type readerSpec struct {
	name          string
	horizon       es.Horizon
	filter        es.Filter
	transactional bool // its handler writes in the transaction that stores the progress
}

var readers = []readerSpec{
	{name: "all"},
	{name: "settled", horizon: es.Settled},
	{name: "category", filter: es.Filter{Categories: []string{"a"}}},
	{name: "segment", filter: es.Filter{Segment: 1, Segments: 2}},
	{name: "types", filter: es.Filter{Types: []string{"odd"}}, horizon: es.Settled},
	{name: "effects", transactional: true},
}

// String prints the step for people.
func (s step) String() string {
	switch s.op {
	case opAppend:
		to := make([]string, len(s.into))
		for i, p := range s.into {
			to[i] = streams[p.stream].String()
			if p.expected != es.Any {
				to[i] += fmt.Sprintf(" expecting %v", p.expected)
			}
		}
		return fmt.Sprintf("scope %d: append %d to %s", s.who+1, s.n, strings.Join(to, ", "))
	case opBegin, opTouch, opSavepoint, opRollbackTo, opCommit, opCommitAsync, opRollback:
		return fmt.Sprintf("scope %d: %s", s.who+1, s.op)
	case opPoison:
		return fmt.Sprintf("%s %s", s.op, streams[s.who])
	case opCrash:
		return fmt.Sprintf("%s, losing up to %d records", s.op, s.n)
	case opPoll, opDeliver:
		return fmt.Sprintf("reader %s: %s up to %d events", readers[s.who].name, s.op, s.n)
	case opSave:
		if s.n > 0 {
			return fmt.Sprintf("reader %s: save after %d events", readers[s.who].name, s.n)
		}
	default:
	}
	return fmt.Sprintf("reader %s: %s", readers[s.who].name, s.op)
}

// String prints the script, one step per line.
func (s script) String() string {
	var b strings.Builder
	for i, st := range s {
		fmt.Fprintf(&b, "%3d. %s\n", i+1, st)
	}
	return b.String()
}

// limits are what scripts are drawn from.
type limits struct {
	steps   int
	crashes bool
	// between allows that things happen between the statements of a poll.
	between bool
}

// swarm is a part of what is possible. A script that is drawn from a part of it comes
// more often to where the rest would get in the way.
type swarm struct {
	without map[op]bool
	readers []int
	streams int
}

// Every script may have these; for the others it is drawn whether it may.
var always = []op{opBegin, opAppend, opCommit, opPoll}

func drawSwarm(t *rapid.T, l limits) swarm {
	w := swarm{without: map[op]bool{opCrash: !l.crashes, opStatement: !l.between}, streams: rapid.IntRange(1, len(streams)).Draw(t, "streams")}
	for _, o := range slices.Compact(slices.Clone(weighted)) {
		if !slices.Contains(always, o) && rapid.Bool().Draw(t, "without "+string(o)) {
			w.without[o] = true
		}
	}
	some := rapid.IntRange(1, 1<<len(readers)-1).Draw(t, "readers")
	for i := range readers {
		if some&(1<<i) > 0 {
			w.readers = append(w.readers, i)
		}
	}
	return w
}

// scripts draws scripts, of which every step can be taken when its turn comes: so the
// script is played while it is drawn.
func scripts(l limits) *rapid.Generator[script] {
	return rapid.Custom(func(t *rapid.T) script {
		p := newPlay(mutant{})
		defer p.stop()
		w := drawSwarm(t, l)
		for range rapid.IntRange(1, l.steps).Draw(t, "steps") {
			p.take(drawStep(t, p, w))
		}
		return p.script
	})
}

// weighted are the kinds of steps, by how often they are drawn.
var weighted = func() (all []op) {
	for o, weight := range map[op]int{
		opBegin: 4, opTouch: 2, opSavepoint: 1, opRollbackTo: 1, opAppend: 9, opCommit: 4, opCommitAsync: 2, opRollback: 2,
		opPoll: 8, opStatement: 3, opSave: 2, opDeliver: 3, opRedrive: 1, opRestart: 1, opReset: 1, opSteal: 1, opPoison: 1, opCrash: 1,
	} {
		for range weight {
			all = append(all, o)
		}
	}
	slices.Sort(all)
	return all
}()

// drawStep draws a step that can be taken.
func drawStep(t *rapid.T, p *play, w swarm) step {
	possible := map[op][]step{}
	add := func(s step) {
		if !w.without[s.op] && p.possible(s) {
			possible[s.op] = append(possible[s.op], s)
		}
	}
	for who := range scopes {
		for _, o := range []op{opBegin, opTouch, opSavepoint, opRollbackTo, opAppend, opCommit, opCommitAsync, opRollback} {
			add(step{op: o, who: who})
		}
	}
	for _, who := range w.readers {
		for _, o := range []op{opPoll, opStatement, opSave, opDeliver, opRedrive, opRestart, opReset, opSteal} {
			add(step{op: o, who: who})
		}
	}
	for who := range w.streams {
		add(step{op: opPoison, who: who})
	}
	add(step{op: opCrash})
	kinds := slices.DeleteFunc(slices.Clone(weighted), func(o op) bool { return len(possible[o]) == 0 })
	s := rapid.SampledFrom(possible[rapid.SampledFrom(kinds).Draw(t, "kind")]).Draw(t, "step")
	switch s.op {
	case opAppend:
		s.n, s.into = rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "events"), drawParts(t, w.streams)
		if !p.possible(s) { // it would be the second one to wait for a lock
			return step{op: opTouch, who: s.who}
		}
	case opPoll, opDeliver:
		s.n = rapid.SampledFrom([]int{10, 1, 2}).Draw(t, "limit")
	case opSave:
		s.n = rapid.SampledFrom([]int{0, 0, 1}).Draw(t, "part")
	case opCrash:
		s.n = rapid.SampledFrom([]int{100, 0, 1, 2, 5}).Draw(t, "lost")
	default:
	}
	return s
}

func drawParts(t *rapid.T, streams int) []part {
	one := rapid.Custom(func(t *rapid.T) part {
		return part{
			stream:   rapid.IntRange(0, streams-1).Draw(t, "stream"),
			expected: rapid.SampledFrom([]es.Expected{es.Any, es.Any, es.Any, es.Any, es.NoStream, es.Exact(1), es.Exact(2), es.StreamExists}).Draw(t, "expected"),
		}
	})
	n := min(rapid.SampledFrom([]int{1, 1, 2, 3}).Draw(t, "parts"), streams)
	return rapid.SliceOfNDistinct(one, 1, n, func(p part) int { return p.stream }).Draw(t, "into")
}
