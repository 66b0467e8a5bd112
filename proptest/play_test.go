package proptest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

// play takes the steps of a script on the simulated log, and checks after each that
// what has been promised holds.
type play struct {
	db      *tables
	mutant  mutant
	scopes  [scopes]playScope
	readers []*playReader
	poison  [3]bool
	effects table[effect]

	// script is what was taken, and trace what came of it: one line for each step.
	script script
	trace  []string
	// broken are the promises that were broken.
	broken []string

	// waiting are the scopes that wait, in the order that they began to.
	waiting []int
	// born and seen are the numbers of the steps in which events were written and became
	// visible.
	born, seen map[uuid.UUID]int
	known      *window.Moment
	events     int
}

// feedFunc reads a batch.
type feedFunc func(p *play, behind es.Checkpoint, opts es.FeedOptions, pause func(string)) (es.Batch, error)

// realFeed is the feed itself.
func realFeed(p *play, behind es.Checkpoint, opts es.FeedOptions, pause func(string)) (es.Batch, error) {
	b, now, err := window.Next(context.Background(), feeder{p.db, opts, pause}, behind, opts, p.known)
	if err == nil {
		p.known = now
	}
	return b, err
}

// playScope is a connection.
type playScope struct {
	t      *transaction // nil between transactions
	cached []int64
	// ready tells whether a statement that waits can go on, which resume does.
	ready   func() bool
	resume  func() (struct{}, bool)
	end     func()
	outcome string
	parts   []part
}

// effect is a row that a handler has written.
type effect struct {
	stream  es.StreamID
	version int64
}

// mutant is what is wrong about a play; the zero value is right.
type mutant struct {
	wrong wrongs
	feed  feedFunc
	// settled makes all readers read what is Settled, which is what the feed promises.
	settled bool
}

// newPlay begins with an empty log.
func newPlay(m mutant) *play {
	if m.feed == nil {
		m.feed = realFeed
	}
	p := &play{mutant: m, born: map[uuid.UUID]int{}, seen: map[uuid.UUID]int{}}
	p.db = newTables(func() time.Time { return time.Unix(0, 0) })
	p.db.wrong = m.wrong
	for _, spec := range readers {
		if m.settled {
			spec.horizon = es.Settled
		}
		p.readers = append(p.readers, &playReader{readerSpec: spec, parked: map[es.StreamID]bool{}})
	}
	return p
}

// stop ends what still waits.
func (p *play) stop() {
	for i := range p.scopes {
		if p.scopes[i].end != nil {
			p.scopes[i].end()
		}
	}
	for _, r := range p.readers {
		r.abandon()
	}
}

// possible reports whether a step can be taken.
func (p *play) possible(s step) bool {
	switch s.op {
	case opBegin:
		return p.scopes[s.who].t == nil
	case opTouch, opSavepoint, opCommit, opCommitAsync, opRollback:
		sc := &p.scopes[s.who]
		return sc.t != nil && sc.resume == nil && (s.op != opSavepoint || len(sc.t.levels) < 3)
	case opRollbackTo:
		sc := &p.scopes[s.who]
		return sc.t != nil && sc.resume == nil && len(sc.t.levels) > 1
	case opAppend:
		return p.scopes[s.who].resume == nil && !p.waitsAlready(s.into)
	case opPoison:
		return true
	case opCrash:
		return true
	case opDeliver, opRedrive:
		return p.readers[s.who].transactional
	case opPoll, opSave:
		return !p.readers[s.who].transactional
	default:
		return s.op != opStatement || !p.readers[s.who].transactional
	}
}

// waitsAlready reports whether somebody waits for one of the streams: of several that
// wait, PostgreSQL does not say who is first.
func (p *play) waitsAlready(into []part) bool {
	for _, i := range p.waiting {
		for _, a := range p.scopes[i].parts {
			if slices.ContainsFunc(into, func(b part) bool { return a.stream == b.stream }) {
				return true
			}
		}
	}
	return false
}

// take takes a step, if it can be taken.
func (p *play) take(s step) {
	if !p.possible(s) {
		return
	}
	p.script = append(p.script, s)
	var came string
	switch s.op {
	case opPoll, opStatement, opSave, opDeliver, opRedrive, opRestart, opReset, opSteal:
		came = p.read(p.readers[s.who], s)
	case opPoison:
		p.poison[s.who] = !p.poison[s.who]
	case opCrash:
		p.db.crash(s.n)
		p.known = nil
		for _, r := range p.readers {
			r.abandon() // its connection is gone
		}
	default:
		came = p.execute(s)
	}
	p.trace = append(p.trace, strings.Join(slices.DeleteFunc(append([]string{came}, p.settle()...), func(s string) bool { return s == "" }), "; "))
	p.look()
}

// execute runs the statement of a scope until it is done, or waits.
func (p *play) execute(s step) string {
	sc := &p.scopes[s.who]
	var alone bool
	if sc.t == nil {
		alone = s.op == opAppend
		sc.t = p.db.begin(nil)
		sc.t.cached = &sc.cached
	}
	t := sc.t
	next, stop := iter.Pull(func(yield func(struct{}) bool) {
		t.wait = func(ready func() bool) error {
			for !ready() {
				if sc.ready = ready; !yield(struct{}{}) {
					return errEnded
				}
			}
			return nil
		}
		sc.outcome = p.statement(t, s)
		if alone {
			t.commit() //nolint:errcheck // of a failed one the outcome says it
		}
		if t.state != active && t.state != failed || alone || s.op == opCommit || s.op == opCommitAsync {
			sc.t = nil
		}
	})
	if _, waits := next(); waits {
		sc.resume, sc.end, sc.parts = next, stop, s.into
		p.waiting = append(p.waiting, s.who)
		return "waits"
	}
	return sc.outcome
}

// settle lets those go on that wait no longer, and returns what came of it.
func (p *play) settle() []string {
	var came []string
	for again := true; again; {
		again = false
		for _, who := range slices.Clone(p.waiting) {
			sc := &p.scopes[who]
			if !sc.ready() {
				continue
			}
			again = true
			if _, waits := sc.resume(); waits {
				continue
			}
			sc.resume, sc.end, sc.parts = nil, nil, nil
			p.waiting = slices.DeleteFunc(p.waiting, func(i int) bool { return i == who })
			came = append(came, fmt.Sprintf("scope %d: %s", who+1, sc.outcome))
		}
	}
	for i := range p.scopes { // a crash ends those that do not wait, too
		if t := p.scopes[i].t; t != nil && t.state == aborted && p.scopes[i].resume == nil {
			p.scopes[i].t = nil
		}
	}
	slices.Sort(came)
	return came
}

// statement runs one statement and says what came of it, in words that do not depend on
// ids and positions.
func (p *play) statement(t *transaction, s step) string {
	var err error
	switch s.op {
	case opTouch:
		if err = t.check(); err == nil {
			t.top()
		}
	case opSavepoint:
		err = t.savepoint("s")
	case opRollbackTo:
		err = t.rollbackTo("s")
	case opCommit, opCommitAsync:
		t.async = s.op == opCommitAsync
		err = t.commit()
	case opRollback:
		t.rollback()
	case opAppend:
		var outcomes []outcome
		if outcomes, err = p.db.append(t, p.prepare(s)); err == nil {
			return p.outcomes(s, outcomes)
		}
	default:
	}
	return failure(err)
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

// outcomes checks what an append answers against what it expected.
func (p *play) outcomes(s step, outcomes []outcome) string {
	text := make([]string, len(outcomes))
	for i, o := range outcomes {
		if !o.written {
			text[i] = fmt.Sprintf("conflict at %d", o.version)
			continue
		}
		text[i] = fmt.Sprintf("version %d", o.version)
		if v, exact := s.into[i].expected.Version(); exact && o.version != v+int64(s.n) {
			p.breaks("an append to %s that expects version %d lands behind version %d", streams[s.into[i].stream], v, o.version-int64(s.n))
		}
	}
	return strings.Join(text, ", ")
}

func (p *play) breaks(format string, args ...any) {
	p.broken = append(p.broken, fmt.Sprintf(format, args...))
}

// look takes note of what is visible after a step, and checks the log itself.
func (p *play) look() {
	last := map[es.StreamID]*eventRow{}
	for _, e := range p.db.events {
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
		if n := len(p.db.ofStream(nil, stream)); int64(n) != e.Version {
			p.breaks("%s has %d events up to version %d", stream, n, e.Version)
		}
	}
	for _, r := range p.readers {
		p.checkEffects(r)
	}
}

// finish ends everything that is open and has every reader read to the end.
func (p *play) finish() {
	for who := range p.scopes {
		for p.scopes[who].t != nil && p.scopes[who].resume == nil {
			p.execute(step{op: opCommit, who: who})
			p.settle()
		}
	}
	for who := range p.scopes { // those that waited, and wait no longer
		if p.scopes[who].t != nil {
			p.execute(step{op: opCommit, who: who})
			p.settle()
		}
	}
	p.look()
	clear(p.poison[:])
	for _, r := range p.readers {
		p.drain(r)
	}
}

// log returns the committed events that a filter selects, by position.
func (p *play) log(f es.Filter) []*eventRow {
	var all []*eventRow
	for _, e := range p.db.events {
		if e.by.visibleTo(nil) && selects(f, e) {
			all = append(all, e)
		}
	}
	return all
}
