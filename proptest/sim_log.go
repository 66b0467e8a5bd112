package proptest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

// tables is the log on a server, with what belongs to it: what the schema of es/postgres
// is there.
type tables struct {
	*server
	now func() time.Time

	streams       table[streamRow]
	events        []*eventRow // by position
	subscriptions table[subscriptionRow]
	parked        table[es.Parked]
	discarded     table[es.Discarded]
	projections   table[projectionRow]
	snapshots     table[es.Snapshot]

	claims, discards int64 // sequences of which nothing is ever given out again
}

// streamRow is a row of streams. One of version 0 is there to be locked.
type streamRow struct {
	number, version int64
	lastKey         window.XID
	last            uuid.UUID // the id of the last event
}

// eventRow is a row of events.
type eventRow struct {
	es.Recorded
	window.Row
	stream int64
	by     *level
}

func newTables(now func() time.Time) *tables {
	l := &tables{server: newServer(), now: now}
	l.crashed = func() {
		// Their positions may be drawn again.
		l.events = slices.DeleteFunc(l.events, func(e *eventRow) bool { return e.by.isRolledBack() })
	}
	return l
}

// outcome is what becomes of one append.
type outcome struct {
	written, duplicate bool
	version, position  int64
}

func (o outcome) result(p es.Prepared) (es.AppendResult, error) {
	if !o.written && !o.duplicate {
		return es.AppendResult{}, es.Conflict(p.Stream, p.Expected, o.version)
	}
	return es.AppendResult{Version: o.version, Position: o.position, Duplicate: o.duplicate}, nil
}

// append does what append_events does, in the order of its statements: the transaction
// gets its id, the streams are locked in the order of their ids, their versions are
// compared under the locks, then the positions are drawn. There is one append per stream,
// none empty. One thing it has no clock for: on a server a batch of several fails when it
// has waited for 200 ms.
func (l *tables) append(t *transaction, batch []es.Prepared) ([]outcome, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	outcomes, err := l.appendEvents(t, batch)
	if err != nil {
		t.fail()
	}
	return outcomes, err
}

func (l *tables) appendEvents(t *transaction, batch []es.Prepared) ([]outcome, error) {
	own := t.top()
	early := l.drawEarly(t, batch)
	if len(batch) == 1 && l.updates(t, batch[0]) {
		t.identifyLevels()
	}
	exact, err := l.exact(t, batch)
	if err != nil {
		return nil, err
	}
	heads, err := l.advance(t, batch, exact, own)
	if err != nil {
		return nil, err
	}
	outcomes := make([]outcome, len(batch))
	for i, p := range batch {
		if row, ok := heads[i]; ok {
			position, err := l.insert(t, p, row, own, early)
			if err != nil {
				return nil, err
			}
			outcomes[i] = outcome{written: true, version: row.version, position: position}
		}
	}
	// A statement of its own, which sees what whoever was waited for has committed.
	for i, p := range batch {
		if _, ok := heads[i]; !ok {
			outcomes[i] = l.duplicateOrConflict(t, p)
		}
	}
	return outcomes, nil
}

// updates reports whether an append is for append_event and that updates a row which it sees.
// Such an UPDATE draws the ids of its levels before it waits for the row (heap_update in
// PostgreSQL's heapam.c), so that they are drawn also if it waits in vain.
func (l *tables) updates(t *transaction, p es.Prepared) bool {
	if _, exact := p.Expected.Version(); len(p.Events) != 1 || p.Repeatable && !exact {
		return false
	}
	row, there := l.streams.get(t, p.Stream.String())
	return there && p.Expected.AdmitsLast(row.version, row.last)
}

// exact returns the version that each append expects its stream to have, -1 for one that
// is not to be written. Where some append names none, all streams are locked first.
func (l *tables) exact(t *transaction, batch []es.Prepared) ([]int64, error) {
	exact := make([]int64, len(batch))
	inexact := slices.ContainsFunc(batch, func(p es.Prepared) bool { return p.Expected.Number() < 0 })
	if inexact {
		if err := l.lockStreams(t, batch); err != nil {
			return nil, err
		}
	}
	for i, p := range batch {
		row, _ := l.streams.get(t, p.Stream.String())
		if exact[i] = p.Expected.Number(); exact[i] >= 0 {
			if last := p.Expected.Last(); last != uuid.Nil && last != row.last {
				exact[i] = -1
			}
			continue
		}
		exact[i] = row.version
		if _, repeated := l.findAnywhere(t, p); repeated || !p.Expected.Admits(row.version) {
			exact[i] = -1
		}
	}
	return exact, nil
}

// lockStreams locks the streams of a batch, and creates those that an append may create.
// Which they are is decided before the first one is locked.
func (l *tables) lockStreams(t *transaction, batch []es.Prepared) error {
	var ids []string
	there := map[string]bool{}
	for _, p := range batch {
		id := p.Stream.String()
		if _, there[id] = l.streams.get(t, id); there[id] || p.Expected == es.Any || p.Expected == es.NoStream {
			ids = append(ids, id)
		}
	}
	if !l.wrong.locksOutOfOrder {
		slices.Sort(ids)
	}
	for _, id := range ids {
		if err := l.lockStream(t, id, there[id]); err != nil {
			return err
		}
	}
	return nil
}

// lockStream locks the row of a stream, and makes one where there is none. A stream that
// was not there when the statement began has its number drawn before that is known.
func (l *tables) lockStream(t *transaction, id string, there bool) error {
	number := l.numberOf(t, there)
	if err := t.lock("streams", id); err != nil {
		return err
	}
	if _, ok := l.streams.get(t, id); !ok {
		l.streams.put(t, id, streamRow{number: number})
		l.wrote(t, lockKey{"streams", id})
	}
	return nil
}

// numberOf draws the number of a new stream.
func (l *tables) numberOf(t *transaction, there bool) int64 {
	if there {
		return 0
	}
	return t.nextval(streamNumbers, 1)
}

// advance gives those streams their new versions that have the expected ones, and returns
// their rows by the number of the append. Which can have them is decided before the first
// one is locked.
func (l *tables) advance(t *transaction, batch []es.Prepared, exact []int64, own window.XID) (map[int]streamRow, error) {
	var order []int
	there := make([]bool, len(batch))
	for i, p := range batch {
		if _, there[i] = l.streams.get(t, p.Stream.String()); exact[i] == 0 || exact[i] > 0 && there[i] {
			order = append(order, i)
		}
	}
	if !l.wrong.locksOutOfOrder {
		slices.SortFunc(order, func(i, j int) int { return cmp.Compare(batch[i].Stream.String(), batch[j].Stream.String()) })
	}
	heads := map[int]streamRow{}
	for _, i := range order {
		id := batch[i].Stream.String()
		row := streamRow{number: l.numberOf(t, there[i])}
		if err := t.lock("streams", id); err != nil {
			return nil, err
		}
		if there, ok := l.streams.get(t, id); ok {
			row = there
		}
		if row.version != exact[i] {
			continue
		}
		row.version += int64(len(batch[i].Events))
		row.lastKey = max(row.lastKey, own)
		row.last = batch[i].Events[len(batch[i].Events)-1].ID
		l.streams.put(t, id, row)
		l.wrote(t, lockKey{"streams", id})
		heads[i] = row
	}
	return heads, nil
}

// insert writes the events of an append and returns the position of the last one.
func (l *tables) insert(t *transaction, p es.Prepared, row streamRow, own window.XID, early func() int64) (int64, error) {
	var held window.XID
	if row.lastKey > own && !l.wrong.heldNever {
		held = row.lastKey
	}
	first := row.version - int64(len(p.Events)) + 1
	var position int64
	for i, e := range p.Events {
		if position = early(); position == 0 {
			position = l.drawPosition(t)
		}
		r := es.Recorded{
			Position: position, Stream: p.Stream, Version: first + int64(i), ID: e.ID, Type: e.Type,
			Data: slices.Clone(e.Data), Binary: e.Binary, Metadata: e.Metadata, RecordedAt: l.now(),
		}
		if r.Data == nil {
			r.Data = []byte{}
		}
		if err := l.reserveID(t, e.ID); err != nil {
			return 0, err
		}
		t.write()
		ev := &eventRow{Recorded: r, Row: window.Row{Position: position, XID: own, HeldUntil: held}, stream: row.number, by: t.level()}
		at, _ := slices.BinarySearchFunc(l.events, position, func(e *eventRow, p int64) int { return cmp.Compare(e.Row.Position, p) })
		l.events = slices.Insert(l.events, at, ev)
	}
	return position, nil
}

// reserveID is the unique index on ids: it waits for whoever is about to bring the id into
// the log, and fails if that is what became of it.
func (l *tables) reserveID(t *transaction, id uuid.UUID) error {
	for {
		i := slices.IndexFunc(l.events, func(e *eventRow) bool { return e.ID == id && !e.by.isRolledBack() })
		if i < 0 {
			return nil
		}
		if l.events[i].by.visibleTo(t) {
			return fmt.Errorf("%w: %s", es.ErrDuplicateID, id)
		}
		other := l.events[i].by.transaction
		if err := t.wait(func() bool { return t.state != active || other.state != active && other.state != failed }); err != nil {
			return err
		}
		if t.state != active {
			return errEnded
		}
	}
}

func (l *tables) drawPosition(t *transaction) int64 {
	if l.wrong.cache == 0 {
		return t.nextval(positions, 1)
	}
	if len(*t.cached) == 0 {
		first := t.nextval(positions, l.wrong.cache)
		for i := range l.wrong.cache {
			*t.cached = append(*t.cached, first+i)
		}
	}
	position := (*t.cached)[0]
	*t.cached = (*t.cached)[1:]
	return position
}

// drawEarly returns what gives out the positions that are drawn before the locks are
// taken, which must not be: 0 for none.
func (l *tables) drawEarly(t *transaction, batch []es.Prepared) func() int64 {
	var drawn []int64
	if l.wrong.drawBeforeLock {
		for _, p := range batch {
			for range p.Events {
				drawn = append(drawn, l.drawPosition(t))
			}
		}
	}
	return func() int64 {
		if len(drawn) == 0 {
			return 0
		}
		defer func() { drawn = drawn[1:] }()
		return drawn[0]
	}
}

// findAnywhere looks for an append without an expected version in its stream.
func (l *tables) findAnywhere(t *transaction, p es.Prepared) (outcome, bool) {
	if _, exact := p.Expected.Version(); exact || !p.Repeatable {
		return outcome{}, false
	}
	return l.find(t, p)
}

// duplicateOrConflict answers an append that was not written.
func (l *tables) duplicateOrConflict(t *transaction, p es.Prepared) outcome {
	if o, ok := l.findAnywhere(t, p); ok {
		return o
	}
	if version, exact := p.Expected.Version(); exact {
		if o, ok := l.find(t, p); ok && o.version == version+int64(len(p.Events)) {
			return o
		}
	}
	row, _ := l.streams.get(t, p.Stream.String())
	return outcome{version: row.version}
}

// find looks for the events of an append in its stream.
func (l *tables) find(t *transaction, p es.Prepared) (outcome, bool) {
	events := l.ofStream(t, p.Stream)
	first := slices.IndexFunc(events, func(e *eventRow) bool { return e.ID == p.Events[0].ID })
	if first < 0 || first+len(p.Events) > len(events) {
		return outcome{}, false
	}
	place := events[first : first+len(p.Events)]
	if !slices.EqualFunc(place, p.Events, func(r *eventRow, e es.EventData) bool { return r.ID == e.ID }) {
		return outcome{}, false
	}
	end := place[len(place)-1]
	return outcome{duplicate: true, version: end.Version, position: end.Row.Position}, true
}

// ofStream returns the events of a stream that t sees, by version.
func (l *tables) ofStream(t *transaction, stream es.StreamID) []*eventRow {
	var events []*eventRow
	for _, e := range l.events {
		if e.Stream == stream && e.by.visibleTo(t) {
			events = append(events, e)
		}
	}
	slices.SortFunc(events, func(a, b *eventRow) int { return cmp.Compare(a.Version, b.Version) })
	return events
}

// selects reports whether a filter selects an event.
func selects(f es.Filter, e *eventRow) bool {
	return (len(f.Categories) == 0 || slices.Contains(f.Categories, e.Stream.Category)) &&
		(len(f.Types) == 0 || slices.Contains(f.Types, e.Type)) &&
		(f.Stream == (es.StreamID{}) || f.Stream == e.Stream) &&
		(f.Segments <= 1 || e.stream%int64(f.Segments) == int64(f.Segment))
}

// incarnationID is the incarnation as checkpoints name it.
func (s *server) incarnationID() string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(strings.Repeat("i", s.incarnation))).String()
}
