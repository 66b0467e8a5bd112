package proptest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

// mutants are readers and writers that are wrong, each in a way that somebody has
// written in earnest.
var mutants = []struct {
	name string
	mutant
}{
	{"position cursor alone", mutant{feed: wrongFeed(wrongReader{})}},
	{"position cursor with xmin guard", mutant{feed: wrongFeed(wrongReader{xmin: true}), settled: true}},
	{"MAX(position) below xmin", mutant{feed: wrongFeed(wrongReader{max: true}), settled: true}},
	{"(xid, position) order without hold-back", mutant{feed: wrongFeed(wrongReader{xmin: true, byXID: true}), settled: true}},
	{"xmax taken for the next xid", mutant{wrong: wrongs{xmaxForNext: true}}},
	{"is_called ignored", mutant{wrong: wrongs{isCalledIgnored: true}}},
	{"position read while nextval logs it", mutant{wrong: wrongs{positionAhead: true}}},
	{"next id read before the position", mutant{wrong: wrongs{nextFirst: true}}},
	{"running transactions taken for ended", mutant{wrong: wrongs{runningForgotten: true}}},
	{"sequence with a cache", mutant{wrong: wrongs{cache: 3}}},
	{"position drawn before the stream lock", mutant{wrong: wrongs{drawBeforeLock: true}}},
	{"in-memory frontier trusted after a crash", mutant{wrong: wrongs{crashUnnoticed: true}}},
	{"straggler arm left out", mutant{wrong: wrongs{stragglersNever: true}}},
	{"held_until never set", mutant{wrong: wrongs{heldNever: true}}},
	{"progress stored whoever has the lease", mutant{wrong: wrongs{revisionsIgnored: true}}},
}

// patience is how many scripts are drawn to catch a mutant: several times what the one
// needs that is hardest to catch.
const patience = 20_000

// Each mutant is caught by the machine, in few steps. Which scripts are drawn does not
// depend on chance.
func TestMutants(t *testing.T) {
	t.Parallel()
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			drawn := scripts(limits{steps: 40, crashes: true, between: true})
			for seed := range patience {
				s := drawn.Example(seed)
				if p := run(s, m.mutant); len(p.broken) == 0 {
					continue
				}
				p := run(shrink(s, m.breaks), m.mutant)
				fmt.Printf("%s: caught in %d steps\n", m.name, len(p.script))
				t.Logf("script %d, shrunk to\n%s", seed, p)
				if len(p.script) > 12 {
					t.Errorf("that is more than 12")
				}
				if p := run(p.script, mutant{}); len(p.broken) > 0 {
					t.Errorf("it breaks what is right, too:\n%s", p)
				}
				return
			}
			t.Errorf("it survives %d scripts", patience)
		})
	}
}

// breaks plays a script as far as something is broken, and reports whether anything is.
func (m mutant) breaks(s script) (script, bool) {
	p := run(s, m)
	return p.script, len(p.broken) > 0
}

// shrink leaves steps out, and makes others simpler, for as long as the script breaks
// something. breaks returns the steps that could be taken.
func shrink(s script, breaks func(script) (script, bool)) script {
	s, _ = breaks(s) // without what cannot be taken
	for again := true; again; {
		again = false
		try := func(candidate script) {
			if played, broken := breaks(candidate); broken && simpler(played, s) {
				s, again = played, true
			}
		}
		for size := len(s); size > 0; size /= 2 {
			for at := 0; at+size <= len(s); at++ {
				try(slices.Delete(slices.Clone(s), at, at+size))
			}
		}
		for first := 0; first < len(s) && len(s) <= 20; first++ {
			for second := first + 1; second < len(s); second++ {
				try(slices.Delete(slices.Delete(slices.Clone(s), second, second+1), first, first+1))
			}
		}
		for at := 0; at < len(s); at++ {
			for _, st := range variants(s[at]) {
				if candidate := slices.Clone(s); at < len(s) {
					candidate[at] = st
					try(candidate)
				}
			}
		}
	}
	return s
}

// simpler reports whether a script is shorter, or of simpler steps.
func simpler(a, b script) bool {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(complexity(a), complexity(b))) < 0
}

func complexity(s script) (n int) {
	for _, st := range s {
		n += st.who + 10*len(st.into)
		for _, p := range st.into {
			n += p.stream
			if p.expected != es.Any {
				n += 5
			}
		}
		switch st.op {
		case opAppend:
			n += st.n
		case opPoll, opDeliver:
			n += 10 - st.n
		case opCrash:
			n += 100 - st.n
		case opSave:
			n += st.n
		default:
		}
	}
	return n
}

// variants are simpler forms of a step.
func variants(s step) (all []step) {
	if s.who > 0 {
		simple := s
		simple.who--
		all = append(all, simple)
		simple.who = 0
		all = append(all, simple)
	}
	for i := range s.into {
		simple := s
		if len(s.into) > 1 {
			simple.into = slices.Delete(slices.Clone(s.into), i, i+1)
			all = append(all, simple)
		}
		for stream := range s.into[i].stream {
			simple.into = slices.Clone(s.into)
			simple.into[i].stream = stream
			all = append(all, simple)
		}
		simple.into = slices.Clone(s.into)
		simple.into[i].expected = es.Any
		all = append(all, simple)
	}
	n := map[op]int{opAppend: 1, opPoll: 10, opDeliver: 10, opCrash: 100, opSave: 0}[s.op]
	simple := s
	simple.n = n
	return append(all, simple)
}

// wrongReader is a reader whose checkpoint is a position, or an id and a position.
type wrongReader struct {
	xmin  bool // delivers only what is older than the oldest transaction
	max   bool // delivers up to the highest position of what is
	byXID bool // in the order of ids
}

// wrongCursor is its checkpoint.
type wrongCursor struct {
	XID      window.XID
	Position int64
}

func (c wrongCursor) checkpoint() es.Checkpoint {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // two numbers
	}
	return es.Checkpoint(text)
}

func wrongFeed(r wrongReader) feedFunc {
	return func(p *simWorld, behind es.Checkpoint, opts es.FeedOptions, pause func(string)) (es.Batch, error) {
		var c wrongCursor
		if behind != "" {
			if err := json.Unmarshal([]byte(behind), &c); err != nil {
				return es.Batch{}, err
			}
		}
		pause("all in one")
		var rows []*eventRow
		for _, e := range p.log(es.Filter{}) {
			if r.after(c, e) && r.delivers(p, e) {
				rows = append(rows, e)
			}
		}
		if r.byXID {
			slices.SortStableFunc(rows, func(a, b *eventRow) int { return cmp.Compare(a.XID, b.XID) })
		}
		b := es.Batch{Next: behind}
		var cursors []wrongCursor
		for _, e := range rows {
			if b.More = len(b.Events) == opts.MaxEvents; b.More {
				break
			}
			c = wrongCursor{e.XID, e.Row.Position}
			if b.Next = c.checkpoint(); selects(opts.Filter, e) {
				b.Events, cursors = append(b.Events, e.Recorded), append(cursors, c)
			}
		}
		b.Prefix = func(n int) es.Checkpoint {
			if n == 0 {
				return behind
			}
			return cursors[n-1].checkpoint()
		}
		return b, nil
	}
}

// after reports whether an event is behind a cursor.
func (r wrongReader) after(c wrongCursor, e *eventRow) bool {
	if r.byXID && e.XID != c.XID {
		return e.XID > c.XID
	}
	return e.Row.Position > c.Position
}

// delivers reports whether the reader takes an event for ready.
func (r wrongReader) delivers(p *simWorld, e *eventRow) bool {
	xmin := p.db.snapshot().Xmin
	if r.max {
		var highest int64
		for _, o := range p.log(es.Filter{}) {
			if o.XID < xmin {
				highest = max(highest, o.Row.Position)
			}
		}
		return e.Row.Position <= highest
	}
	return !r.xmin || e.XID < xmin
}
