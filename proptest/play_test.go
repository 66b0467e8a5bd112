package proptest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

// world is a log that scripts are played on.
type world interface {
	// execute runs a statement of a scope until it is done, or waits.
	execute(s step, batch []es.Prepared) (came string, waits bool)
	// settle lets those go on that wait no longer, and returns what came of it, by scope.
	settle() map[int]string
	// idle reports whether a scope has no transaction, and busy whether it waits.
	idle(who int) bool
	busy(who int) bool
	crash(lost int)

	// feed reads a batch. Before each statement it calls pause, if it can.
	feed(r *playReader, opts es.FeedOptions, pause func(string)) (es.Batch, error)
	claim(subscription, holder string) (es.Checkpoint, int64, error)
	// store stores progress and what a handler writes, in one transaction; anew removes
	// all that handlers have written before.
	store(p es.Progress, effects []es.Failure, anew bool) error
	parked(subscription string) []es.Parked
	stop()
}

// play takes the steps of a script in a world. In the simulated one it checks after each
// that what has been promised holds.
type play struct {
	on      world
	sim     *simWorld // nil in another one
	readers []*playReader
	poison  [3]bool
	events  int

	// script is what was taken, and trace what came of it: one line for each step, in words
	// that do not depend on ids.
	script script
	trace  []string
	// broken are the promises that were broken.
	broken []string

	// waits are the appends of the scopes that wait.
	waits map[int]waiting
	// deadlocks are the statements that ended in one.
	deadlocks []deadlock
	// born and seen are the numbers of the steps in which events were written and became
	// visible.
	born, seen map[uuid.UUID]int
}

// waiting is an append that waits, since a step of this number.
type waiting struct {
	step
	since int
}

// deadlock is a statement of a scope that ended in a deadlock: the numbers of the steps in
// which it began and ended.
type deadlock struct{ who, began, ended int }

// mutant is what is wrong about a play; the zero value is right.
type mutant struct {
	wrong wrongs
	slack slack // is right, too
	feed  feedFunc
	// settled makes all readers read what is Settled, which is what the feed promises.
	settled bool
}

// newPlay begins with an empty simulated log.
func newPlay(m mutant) *play {
	sim := newSimWorld(m)
	p := newPlayOn(sim, m.settled)
	p.sim = sim
	return p
}

func newPlayOn(on world, settled bool) *play {
	p := &play{on: on, born: map[uuid.UUID]int{}, seen: map[uuid.UUID]int{}, waits: map[int]waiting{}}
	for _, spec := range readers {
		if settled {
			spec.horizon = es.Settled
		}
		p.readers = append(p.readers, &playReader{readerSpec: spec, parked: map[es.StreamID]bool{}})
	}
	return p
}

// stop ends what still waits.
func (p *play) stop() {
	for _, r := range p.readers {
		r.abandon()
	}
	p.on.stop()
}

// possible reports whether a step can be taken.
func (p *play) possible(s step) bool {
	switch s.op {
	case opBegin:
		return p.on.idle(s.who)
	case opTouch, opCommit, opCommitAsync, opRollback:
		return !p.on.idle(s.who) && !p.on.busy(s.who)
	case opSavepoint:
		return !p.on.idle(s.who) && !p.on.busy(s.who) && p.sim.levels(s.who) < 3
	case opRollbackTo:
		return !p.on.idle(s.who) && !p.on.busy(s.who) && p.sim.levels(s.who) > 1
	case opAppend:
		return !p.on.busy(s.who)
	case opPoison, opCrash:
		return true
	case opDeliver, opRedrive:
		return p.readers[s.who].transactional
	case opPoll, opSave, opStatement:
		return !p.readers[s.who].transactional
	default:
		return true
	}
}

// take takes a step, if it can be taken.
func (p *play) take(s step) {
	if p.possible(s) {
		p.do(s)
	}
}

// do takes a step.
func (p *play) do(s step) {
	p.script = append(p.script, s)
	var came []string
	switch s.op {
	case opPoll, opStatement, opSave, opDeliver, opRedrive, opRestart, opReset, opSteal:
		came = append(came, p.read(p.readers[s.who], s))
	case opPoison:
		p.poison[s.who] = !p.poison[s.who]
	case opCrash:
		p.on.crash(s.n)
		for _, r := range p.readers {
			r.abandon() // its connection is gone
		}
	default:
		came = append(came, p.execute(s))
	}
	came = append(came, p.settle()...)
	p.trace = append(p.trace, strings.Join(slices.DeleteFunc(came, func(s string) bool { return s == "" }), "; "))
	p.look()
}

func (p *play) execute(s step) string {
	var batch []es.Prepared
	if s.op == opAppend {
		batch = p.prepare(s)
	}
	came, waits := p.on.execute(s, batch)
	if waits {
		p.waits[s.who] = waiting{s, len(p.script)}
		return "waits"
	}
	p.noteDeadlock(s.who, len(p.script), came)
	p.checkAppend(s, came)
	return came
}

func (p *play) noteDeadlock(who, began int, came string) {
	if came == "deadlock" {
		p.deadlocks = append(p.deadlocks, deadlock{who, began, len(p.script)})
	}
}

func (p *play) settle() []string {
	done := p.on.settle()
	var came []string
	for _, who := range slices.Sorted(maps.Keys(done)) {
		p.checkAppend(p.waits[who].step, done[who])
		p.noteDeadlock(who, p.waits[who].since, done[who])
		delete(p.waits, who)
		came = append(came, fmt.Sprintf("scope %d: %s", who+1, done[who]))
	}
	return came
}

// failure names an error, as both kinds of servers do.
func failure(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, es.ErrBusy):
		return "deadlock"
	case errors.Is(err, errFailed):
		return "failed"
	case errors.Is(err, es.ErrStaleCheckpoint):
		return "stale"
	case errors.Is(err, es.ErrLostCheckpoint):
		return "lost"
	case errors.Is(err, errEnded):
		return "ended"
	}
	return err.Error()
}

// prepare makes the events of an append. Their ids follow from how many there were.
func (p *play) prepare(s step) []es.Prepared {
	batch := make([]es.Prepared, len(s.into))
	for i, to := range s.into {
		batch[i] = es.Prepared{Stream: streams[to.stream], Expected: to.expected, Metadata: make([][]byte, s.n)}
		for range s.n {
			p.events++
			batch[i].Events = append(batch[i].Events, es.EventData{ID: numbered(p.events), Type: []string{"even", "odd"}[p.events%2], Data: []byte(`{}`)})
		}
	}
	return batch
}

// numbered is the id of the nth event.
func numbered(n int) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, n))
}

// answer words what came of the appends of a batch.
func answer(outcomes []outcome) string {
	text := make([]string, len(outcomes))
	for i, o := range outcomes {
		text[i] = fmt.Sprintf("conflict at %d", o.version)
		if o.written {
			text[i] = fmt.Sprintf("version %d", o.version)
		}
	}
	return strings.Join(text, ", ")
}

// checkAppend checks what a batch of appends answers against what it expected.
func (p *play) checkAppend(s step, came string) {
	if s.op != opAppend {
		return
	}
	for i, text := range strings.Split(came, ", ") {
		var version int64
		if n, _ := fmt.Sscanf(text, "version %d", &version); n == 0 {
			continue
		}
		if v, exact := s.into[i].expected.Version(); exact && version != v+int64(s.n) {
			p.breaks("an append to %s that expects version %d lands as version %d", streams[s.into[i].stream], v, version)
		}
	}
}

func (p *play) breaks(format string, args ...any) {
	p.broken = append(p.broken, fmt.Sprintf(format, args...))
}

// look takes note of what is visible after a step, and checks the log itself.
func (p *play) look() {
	if p.sim == nil {
		return
	}
	last := map[es.StreamID]*eventRow{}
	for _, e := range p.sim.db.events {
		if _, ok := p.born[e.ID]; !ok {
			p.born[e.ID] = len(p.script)
		}
		if !e.by.visibleTo(nil) {
			continue
		}
		if _, ok := p.seen[e.ID]; !ok {
			p.seen[e.ID] = len(p.script)
		}
		if before := last[e.Stream]; before != nil && e.Version <= before.Version {
			p.breaks("%s version %d has position %d, version %d has %d", e.Stream, e.Version, e.Row.Position, before.Version, before.Row.Position)
		}
		last[e.Stream] = e
	}
	for stream, e := range last {
		if n := len(p.sim.db.ofStream(nil, stream)); int64(n) != e.Version {
			p.breaks("%s has %d events up to version %d", stream, n, e.Version)
		}
	}
	for _, r := range p.readers {
		p.checkEffects(r)
	}
}

// finish ends everything that is open, one after the other, and has every reader read
// in between, and to the end.
func (p *play) finish() {
	clear(p.poison[:])
	for again := true; again; {
		again = false
		for who := range scopes {
			if !p.on.idle(who) && !p.on.busy(who) {
				again = true
				p.execute(step{op: opCommit, who: who})
				p.settle()
				p.look()
				p.pollAll()
			}
		}
	}
	for _, r := range p.readers {
		p.drain(r)
	}
}

// pollAll has every reader read once.
func (p *play) pollAll() {
	for _, r := range p.readers {
		if r.transactional {
			p.deliver(r, 10)
		} else {
			p.poll(r, 10, true)
		}
	}
}
