package proptest

import (
	"maps"
	"slices"

	"github.com/peatlog/peat/internal/window"
)

// firstXID is the first transaction id that a simulated server gives out: after the
// epoch's beginning, as on a real one.
const firstXID window.XID = 100

// server is what a log can notice of a PostgreSQL server: transactions and their ids,
// snapshots, sequences, row locks, and what a crash leaves of it all. It has no
// clock and no goroutines; one call is made at a time.
type server struct {
	next      window.XID     // the id to be given out next
	completed window.XID     // the highest id that has ended (latestCompletedXid)
	open      []*transaction // all that have not ended
	running   []*transaction // those of them that have an id, by their ids
	locks     map[lockKey]*lock

	// wal is the write-ahead log, which is durable up to flushed. A crash leaves a
	// part of it that begins there.
	wal     []walRecord
	flushed int

	sequences [sequences]sequence
	// unsure are transactions whose commit a crash may undo.
	unsure []*transaction
	// incarnation is the content of an unlogged table: a crash takes it away.
	incarnation int

	// wrong makes the server wrong in some way, for tests that must notice.
	wrong wrongs
	// slack makes frontiers err on the safe side, for a test that nobody notices.
	slack slack
	// released is called whenever locks were given back.
	released func()
	crashed  func()
}

// wrongs are ways to be wrong.
type wrongs struct {
	cache            int64 // positions that a session draws at once, 0 for one
	drawBeforeLock   bool
	isCalledIgnored  bool
	positionAhead    bool // a frontier reads the row of the sequence while nextval logs it
	xmaxForNext      bool
	nextFirst        bool // a frontier reads the next id before the position
	runningForgotten bool // a frontier takes those that run between xmin and xmax for ended
	crashUnnoticed   bool
	heldNever        bool // no event is held until its predecessor's key
	stragglersNever  bool // rows below the position of the last frontier are not looked at
	locksOutOfOrder  bool // a batch locks its streams in the order of the caller
	revisionsIgnored bool // progress is stored whoever knows it
}

// walRecord is one record of the write-ahead log.
type walRecord struct {
	xid window.XID
	// sequence is what the one of this number is after recovery, nil for another record.
	number   int
	sequence *sequence
}

func newServer() *server {
	s := &server{next: firstXID, completed: firstXID - 1, locks: map[lockKey]*lock{}, incarnation: 1}
	for i := range s.sequences {
		s.sequences[i].last = 1
	}
	s.released, s.crashed = func() {}, func() {}
	return s
}

// log writes a record and returns how long the write-ahead log is with it.
func (s *server) log(r walRecord) int {
	s.wal = append(s.wal, r)
	return len(s.wal)
}

// draw gives out an id.
func (s *server) draw() window.XID {
	s.next++
	return s.next - 1
}

// snapshot is pg_current_snapshot(), asked outside of any transaction. Ids of
// subtransactions are not in it, but count for what has ended.
func (s *server) snapshot() window.Snapshot {
	snap := window.Snapshot{Xmin: s.completed + 1, Xmax: s.completed + 1}
	for _, t := range s.running {
		if t.levels[0].xid < snap.Xmax {
			snap.Running = append(snap.Running, t.levels[0].xid)
		}
	}
	if len(snap.Running) > 0 {
		snap.Xmin = snap.Running[0]
	}
	return snap
}

// lastPosition is what the first statement of a frontier answers: the sequence as it is
// between two draws, because it is read under the lock that nextval holds.
func (s *server) lastPosition() int64 {
	q := s.sequences[positions]
	switch {
	case s.wrong.positionAhead:
		return s.rowDuringDraw(positions)
	case !q.called && !s.wrong.isCalledIgnored:
		return q.last - 1
	}
	return q.last
}

// rowDuringDraw is the last_value that a SELECT can see in the row of a sequence, if one of
// the transactions that have an id is in the middle of the next draw. When that has to be
// logged, nextval puts what is to be logged into the row, and the value drawn only after
// that (nextval_internal in PostgreSQL's sequence.c).
func (s *server) rowDuringDraw(number int) int64 {
	q := s.sequences[number]
	last := q.last
	if !q.called {
		last--
	}
	if len(s.running) > 0 && (!q.called || q.logged < 1) {
		return last + 1 + seqLogVals
	}
	return last
}

// nextXID is what the third one does.
func (s *server) nextXID() window.XID {
	if s.wrong.xmaxForNext {
		return s.completed + 1
	}
	return s.next
}

// The sequences of a log.
const (
	positions = iota
	streamNumbers
	sequences
)

// sequence is the state of a sequence. It belongs to no transaction.
type sequence struct {
	last   int64
	called bool
	// logged is how many more values can be drawn before the next record.
	logged int64
}

// seqLogVals is how many values ahead PostgreSQL logs a sequence (SEQ_LOG_VALS).
const seqLogVals = 32

// nextval takes values of a sequence and returns the first of them. When that is to be
// logged, the transaction must have an id.
func (t *transaction) nextval(number int, values int64) int64 {
	q := &t.server.sequences[number]
	first, fresh := q.last, !q.called
	if q.called {
		first++
	}
	q.last, q.called = first+values-1, true
	if !fresh && q.logged >= values {
		q.logged -= values
		return first
	}
	q.logged = seqLogVals
	t.record(walRecord{xid: t.top(), number: number, sequence: &sequence{last: q.last + seqLogVals, called: true}})
	return first
}

// pending is how many records a crash can take away.
func (s *server) pending() int { return len(s.wal) - s.flushed }

// crash ends the server and starts it again. Of the records that are not durable it
// loses the last ones, up to as many as lost says.
func (s *server) crash(lost int) {
	s.wal = s.wal[:len(s.wal)-min(max(lost, 0), s.pending())]
	s.flushed = len(s.wal)
	s.next = firstXID
	for i := range s.sequences {
		s.sequences[i] = sequence{last: 1}
	}
	for _, r := range s.wal {
		s.next = max(s.next, r.xid+1)
		if r.sequence != nil {
			s.sequences[r.number] = *r.sequence
		}
	}
	s.completed = s.next - 1
	for _, t := range append(s.open, s.unsure...) {
		if t.state != committed || t.end > s.flushed {
			t.state, t.left = aborted, true
		}
	}
	s.open, s.running, s.unsure, s.locks = nil, nil, nil, map[lockKey]*lock{}
	s.incarnation++
	s.crashed()
	s.released()
}

// lockKey names a row.
type lockKey struct{ table, row string }

// lock is the lock of a row. Those who wait get it in the order that they came.
type lock struct {
	holder  *level
	waiting []*transaction
	// history is what the holder's levels did to the row: whether they wrote it or only
	// locked it.
	history []lockEntry
}

type lockEntry struct {
	by    *level
	wrote bool
}

// marked reports whether the newest version of the row says that the holder has locked
// it. Then nothing is written when it does so again, and a savepoint gets no id.
func (l *lock) marked() bool {
	for _, e := range slices.Backward(l.history) {
		if !e.by.isRolledBack() {
			return !e.wrote
		}
	}
	return false
}

// wrote notes that t has written a row, whose lock it holds.
func (s *server) wrote(t *transaction, key lockKey) {
	if l := s.locks[key]; l != nil {
		l.history = append(l.history, lockEntry{t.level(), true})
	}
}

// lock takes the lock of a row for the level that t is in, and waits for it if it
// must. Of transactions that wait for each other in a ring, the one that closes it
// gets an error.
func (s *server) lock(t *transaction, key lockKey) error {
	l := s.locks[key]
	if l == nil {
		l = &lock{}
		s.locks[key] = l
	}
	if l.holder != nil && l.holder.transaction == t {
		return nil
	}
	if l.holder != nil || len(l.waiting) > 0 {
		if s.ring(t, l) {
			return errDeadlock
		}
		l.waiting = append(l.waiting, t)
		t.waitsFor = l
		err := t.wait(func() bool { return t.state != active || l.holder == nil && l.waiting[0] == t })
		t.waitsFor = nil
		l.waiting = slices.DeleteFunc(l.waiting, func(o *transaction) bool { return o == t })
		switch {
		case t.state != active:
			return errEnded
		case err != nil:
			s.released() // for those behind
			return err
		}
	}
	l.holder, l.history = t.level(), nil
	l.holder.locks = append(l.holder.locks, key)
	return nil
}

// ring reports whether whoever holds l or is to get it first waits for t.
func (s *server) ring(t *transaction, l *lock) bool {
	for range len(s.running) + 1 { // a chain is not longer
		var ahead *transaction
		switch {
		case l.holder != nil:
			ahead = l.holder.transaction
		case len(l.waiting) > 0:
			ahead = l.waiting[0]
		default:
			return false
		}
		if ahead == t {
			return true
		}
		if l = ahead.waitsFor; l == nil {
			return false
		}
	}
	return false
}

// release gives back what a level has locked.
func (s *server) release(l *level) {
	for _, key := range l.locks {
		if held := s.locks[key]; held != nil && held.holder == l {
			held.holder = nil
			if len(held.waiting) == 0 {
				delete(s.locks, key)
			}
		}
	}
	if len(l.locks) > 0 {
		l.locks = nil
		s.released()
	}
}

// table is a table with a key. Its rows have a version for each change. Whoever
// changes a row holds its lock.
type table[V any] struct{ rows map[string][]rowVersion[V] }

type rowVersion[V any] struct {
	by    *level
	value V
	gone  bool
}

// get returns what t sees, or anybody if t is nil.
func (tab *table[V]) get(t *transaction, key string) (v V, ok bool) {
	versions := tab.rows[key]
	for _, r := range slices.Backward(versions) {
		if r.by.visibleTo(t) {
			return r.value, !r.gone
		}
	}
	return v, false
}

// put writes a version of a row, and del one that says that there is none.
func (tab *table[V]) put(t *transaction, key string, v V) {
	tab.write(t, key, rowVersion[V]{value: v})
}

func (tab *table[V]) del(t *transaction, key string) {
	tab.write(t, key, rowVersion[V]{gone: true})
}

func (tab *table[V]) write(t *transaction, key string, r rowVersion[V]) {
	t.write()
	if tab.rows == nil {
		tab.rows = map[string][]rowVersion[V]{}
	}
	versions := slices.DeleteFunc(tab.rows[key], func(r rowVersion[V]) bool { return r.by.isRolledBack() })
	// What was there before a durable version will never be seen again.
	for i, old := range slices.Backward(versions) {
		if old.by.durable() {
			versions = versions[i:]
			break
		}
	}
	r.by = t.level()
	tab.rows[key] = append(versions, r)
}

// keys returns the keys of the rows that t sees, in their order.
func (tab *table[V]) keys(t *transaction) []string {
	keys := slices.Sorted(maps.Keys(tab.rows))
	return slices.DeleteFunc(keys, func(key string) bool {
		_, ok := tab.get(t, key)
		return !ok
	})
}
