package proptest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

// simWorld is the simulated log. Statements that wait are coroutines.
type simWorld struct {
	db      *tables
	mutant  mutant
	known   *window.Moment
	effects table[es.Failure]
	scopes  [scopes]simScope
	waiting []int // the scopes that wait, in the order that they began to
	// race tells that two of them could go on at the same time, or waited for one lock.
	// Here they do so one after the other, on a server nobody knows.
	race bool
}

// simScope is a connection.
type simScope struct {
	t      *transaction // nil between transactions
	cached []int64
	// ready tells whether a statement that waits can go on, which resume does.
	ready  func() bool
	resume func() (struct{}, bool)
	end    func()
	came   string
}

// feedFunc reads a batch.
type feedFunc func(w *simWorld, behind es.Checkpoint, opts es.FeedOptions, pause func(string)) (es.Batch, error)

func newSimWorld(m mutant) *simWorld {
	w := &simWorld{mutant: m, db: newTables(func() time.Time { return time.Unix(0, 0) })}
	w.db.wrong, w.db.slack = m.wrong, m.slack
	return w
}

func (w *simWorld) stop() {
	for i := range w.scopes {
		if w.scopes[i].end != nil {
			w.scopes[i].end()
		}
	}
}

func (w *simWorld) idle(who int) bool  { return w.scopes[who].t == nil }
func (w *simWorld) busy(who int) bool  { return w.scopes[who].resume != nil }
func (w *simWorld) levels(who int) int { return len(w.scopes[who].t.levels) }

func (w *simWorld) execute(s step, batch []es.Prepared) (string, bool) {
	sc := &w.scopes[s.who]
	alone := sc.t == nil && s.op == opAppend
	if sc.t == nil {
		sc.t = w.db.begin(nil)
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
		sc.came = w.statement(t, s, batch)
		if alone {
			t.commit() //nolint:errcheck // of a failed one the answer says it
		}
		if t.state == committed || t.state == aborted || alone {
			sc.t = nil
		}
	})
	if _, waits := next(); waits {
		sc.resume, sc.end = next, stop
		w.waiting = append(w.waiting, s.who)
		return "", true
	}
	return sc.came, false
}

func (w *simWorld) settle() map[int]string {
	done := map[int]string{}
	for _, l := range w.db.locks {
		w.race = w.race || len(l.waiting) > 1
	}
	for again := true; again; {
		again = false
		ready := 0
		for _, who := range w.waiting {
			if w.scopes[who].ready() {
				ready++
			}
		}
		w.race = w.race || ready > 1
		for _, who := range slices.Clone(w.waiting) {
			sc := &w.scopes[who]
			if !sc.ready() {
				continue
			}
			again = true
			if _, waits := sc.resume(); waits {
				continue
			}
			sc.resume, sc.end = nil, nil
			w.waiting = slices.DeleteFunc(w.waiting, func(i int) bool { return i == who })
			done[who] = sc.came
		}
	}
	for i := range w.scopes { // a crash ends those that do not wait, too
		if t := w.scopes[i].t; t != nil && t.state == aborted && !w.busy(i) {
			w.scopes[i].t = nil
		}
	}
	return done
}

// statement runs one statement and says what came of it.
func (w *simWorld) statement(t *transaction, s step, batch []es.Prepared) string {
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
		if outcomes, err = w.db.append(t, batch); err == nil {
			return answer(outcomes)
		}
	default:
	}
	return failure(err)
}

func (w *simWorld) crash(lost int) {
	w.db.crash(lost)
	w.known = nil
}

func (w *simWorld) feed(r *playReader, opts es.FeedOptions, pause func(string)) (es.Batch, error) {
	if w.mutant.feed != nil {
		return w.mutant.feed(w, r.next, opts, pause)
	}
	b, now, err := window.Next(context.Background(), feeder{w.db, opts, pause}, r.next, opts, w.known)
	if err == nil {
		w.known = now
	}
	return b, err
}

// never is for transactions that have nothing to wait for.
func never(func() bool) error { panic("a reader waits") }

func (w *simWorld) claim(subscription, holder string) (es.Checkpoint, int64, error) {
	t := w.db.begin(never)
	cp, revision, err := w.db.claim(t, subscription, holder)
	if err == nil {
		err = t.commit()
	}
	return cp, revision, err
}

func (w *simWorld) store(p es.Progress, effects []es.Failure, anew bool) error {
	t := w.db.begin(never)
	defer t.rollback()
	for _, key := range w.effects.keys(t) {
		if anew {
			w.effects.del(t, key)
		}
	}
	for _, e := range effects {
		w.effects.put(t, fmt.Sprintf("%020d", e.Position), e)
	}
	if err := w.db.save(t, p); err != nil {
		return err
	}
	return t.commit()
}

func (w *simWorld) parked(subscription string) []es.Parked {
	return w.db.parkedOf(nil, []string{subscription})
}

// log returns the committed events that a filter selects, by position.
func (w *simWorld) log(f es.Filter) []*eventRow {
	var all []*eventRow
	for _, e := range w.db.events {
		if e.by.visibleTo(nil) && selects(f, e) {
			all = append(all, e)
		}
	}
	return all
}
