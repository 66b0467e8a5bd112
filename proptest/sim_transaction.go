package proptest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

var (
	errDeadlock = fmt.Errorf("%w, repeat the transaction: deadlock detected", es.ErrBusy)
	// errEnded: a crash or a claim has ended the transaction.
	errEnded  = fmt.Errorf("%w: the server has ended it", es.ErrInterrupted)
	errFailed = errors.New("the transaction has failed, nothing but a rollback is possible")
	errDone   = errors.New("the transaction has ended")
)

// state is that of a transaction.
type state int

const (
	active state = iota
	failed
	committed
	aborted
)

// transaction is a transaction under READ COMMITTED: each statement sees what has
// committed when it begins, and when it has waited for a lock.
type transaction struct {
	server *server
	state  state
	// levels are the transaction itself and its open savepoints.
	levels []*level
	// ids are all that it has drawn and has not rolled back.
	ids []window.XID
	// async does not wait for the commit to be durable (synchronous_commit = off).
	async bool
	// wrote tells that there is something to be made durable.
	wrote bool
	// end is how long the write-ahead log was with the commit.
	end int
	// left tells that it runs no longer and holds no lock.
	left bool

	// wait returns when ready does, or with an error.
	wait     func(ready func() bool) error
	waitsFor *lock
	// cached are positions that the session has drawn in advance; see wrongs.
	cached *[]int64
}

// level is a transaction or a savepoint in it, which has an id of its own as soon as
// something is written in it.
type level struct {
	transaction *transaction
	name        string
	xid         window.XID
	rolledBack  bool
	locks       []lockKey
}

func (s *server) begin(wait func(ready func() bool) error) *transaction {
	t := &transaction{server: s, wait: wait}
	t.levels = []*level{{transaction: t}}
	s.open = append(s.open, t)
	return t
}

func (t *transaction) level() *level { return t.levels[len(t.levels)-1] }

// check returns why the transaction cannot go on.
func (t *transaction) check() error {
	switch t.state {
	case active:
		return nil
	case failed:
		return errFailed
	case committed:
		return errDone
	default:
		return errEnded
	}
}

// top is pg_current_xact_id(): it gives the transaction its id.
func (t *transaction) top() window.XID {
	t.identify(t.levels[0])
	return t.levels[0].xid
}

// write notes that something is written: all levels have ids then.
func (t *transaction) write() {
	t.identifyLevels()
	t.record(walRecord{xid: t.level().xid})
}

func (t *transaction) identifyLevels() {
	for _, l := range t.levels {
		t.identify(l)
	}
}

func (t *transaction) identify(l *level) {
	if l.xid > 0 {
		return
	}
	l.xid = t.server.draw()
	t.ids = append(t.ids, l.xid)
	if l == t.levels[0] {
		t.server.running = append(t.server.running, t)
	}
}

func (t *transaction) record(r walRecord) {
	t.wrote = true
	t.server.log(r)
}

// lock takes the lock of a row, which writes, too.
func (t *transaction) lock(table, row string) error {
	key := lockKey{table, row}
	if err := t.server.lock(t, key); err != nil {
		return err
	}
	if l := t.server.locks[key]; !l.marked() {
		t.write()
		l.history = append(l.history, lockEntry{by: t.level()})
	}
	return nil
}

// savepoint opens a level.
func (t *transaction) savepoint(name string) error {
	if err := t.check(); err != nil {
		return err
	}
	t.levels = append(t.levels, &level{transaction: t, name: name})
	return nil
}

// rollbackTo undoes what was done since the savepoint, which stays. It is possible in a
// transaction that has failed, too.
func (t *transaction) rollbackTo(name string) error {
	if t.state != active && t.state != failed {
		return t.check()
	}
	at := -1
	for i, l := range t.levels {
		if i > 0 && l.name == name {
			at = i
		}
	}
	if at < 0 {
		t.fail()
		return fmt.Errorf("savepoint %q does not exist", name)
	}
	for len(t.levels) > at {
		t.undo(t.level())
		t.levels = t.levels[:len(t.levels)-1]
	}
	t.levels = append(t.levels, &level{transaction: t, name: name})
	t.state = active
	return nil
}

// undo rolls one level back.
func (t *transaction) undo(l *level) {
	if l.rolledBack {
		return
	}
	l.rolledBack = true
	if l.xid > 0 {
		// Levels end from the inside, so all ids above are this one's or have ended.
		t.server.completed = max(t.server.completed, l.xid)
		t.ids = slices.DeleteFunc(t.ids, func(x window.XID) bool { return x >= l.xid })
		t.server.log(walRecord{xid: l.xid})
	}
	t.server.release(l)
}

// fail is what an error of a statement does: it undoes the innermost level.
func (t *transaction) fail() {
	if t.state != active {
		return
	}
	if len(t.levels) > 1 {
		t.state = failed
		t.undo(t.level())
		return
	}
	t.rollback()
	t.state = failed
}

// commit makes visible what was done. Of a transaction that has failed it is a rollback.
func (t *transaction) commit() error {
	switch t.state {
	case active:
	case failed:
		t.rollback()
		return errFailed
	default:
		return t.check()
	}
	s := t.server
	if t.levels[0].xid > 0 {
		t.end = s.log(walRecord{xid: slices.Max(t.ids)})
		if !t.async && t.wrote {
			s.flushed = len(s.wal)
		}
		s.unsure = slices.DeleteFunc(append(s.unsure, t), func(o *transaction) bool { return o.end <= s.flushed })
	}
	t.state = committed
	t.leave()
	return nil
}

// rollback undoes everything. It does nothing after the end.
func (t *transaction) rollback() {
	if t.state != active && t.state != failed {
		return
	}
	t.state = aborted
	if t.levels[0].xid > 0 && !t.left {
		t.server.log(walRecord{xid: slices.Max(t.ids)})
	}
	t.leave()
}

// leave takes the transaction out of those that run, and gives its locks back.
func (t *transaction) leave() {
	if t.left {
		return
	}
	t.left = true
	s := t.server
	s.open = slices.DeleteFunc(s.open, func(o *transaction) bool { return o == t })
	if t.levels[0].xid > 0 {
		s.completed = max(s.completed, slices.Max(t.ids))
		s.running = slices.DeleteFunc(s.running, func(o *transaction) bool { return o == t })
	}
	for _, l := range t.levels {
		s.release(l)
	}
}

// visibleTo reports whether what the level has written is visible to t, or to anybody
// if t is nil.
func (l *level) visibleTo(t *transaction) bool {
	return !l.isRolledBack() && (l.transaction.state == committed || l.transaction == t)
}

func (l *level) isRolledBack() bool {
	return l.rolledBack || l.transaction.state == aborted || l.transaction.state == failed && l.transaction.left
}

// durable reports whether no crash can undo what the level has written.
func (l *level) durable() bool {
	t := l.transaction
	return !l.rolledBack && t.state == committed && t.end <= t.server.flushed
}
