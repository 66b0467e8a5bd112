package proptest

import (
	"cmp"
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

// searchedEvents is how far back an append without an expected version is looked for.
const searchedEvents = 100

// outcome is what becomes of one append.
type outcome struct {
	written, duplicate bool
	version, position  int64
}

func (o outcome) result(p es.Prepared) (es.AppendResult, error) {
	if !o.written && !o.duplicate {
		return es.AppendResult{}, &es.ConflictError{Stream: p.Stream, Expected: p.Expected, Actual: o.version}
	}
	return es.AppendResult{Version: o.version, Position: o.position, Duplicate: o.duplicate}, nil
}

// append does what append_events does, in the order of its statements: the transaction
// gets its id, all streams are locked in the order of their ids, then the versions are
// compared, then the positions are drawn. There is one append per stream, none empty.
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
	if err := l.lockStreams(t, batch); err != nil {
		return nil, err
	}
	outcomes := make([]outcome, len(batch))
	var writes []int
	heads := make([]streamRow, len(batch))
	// A statement of its own, with a snapshot that is newer than the locks.
	for i, p := range batch {
		row, _ := l.streams.get(t, p.Stream.String())
		if found, ok := l.findAnywhere(t, p, row.version); ok {
			outcomes[i] = found
		} else if p.Expected.Admits(row.version) {
			writes, heads[i] = append(writes, i), row
		} else {
			outcomes[i] = l.duplicateOrConflict(t, p, row.version)
		}
	}
	for _, i := range writes {
		row, err := l.advance(t, batch[i], own)
		if err != nil {
			return nil, err
		}
		heads[i] = row
	}
	for _, i := range writes {
		outcomes[i] = outcome{written: true, version: heads[i].version}
		outcomes[i].position = l.insert(t, batch[i], heads[i], own, early)
	}
	return outcomes, nil
}

// lockStreams locks the streams of a batch, and creates those that an append may create.
// Which they are is decided before the first one is locked.
func (l *tables) lockStreams(t *transaction, batch []es.Prepared) error {
	var ids []string
	for _, p := range batch {
		_, exists := l.streams.get(t, p.Stream.String())
		if exists || p.Expected == es.Any || p.Expected == es.NoStream {
			ids = append(ids, p.Stream.String())
		}
	}
	if !l.wrong.locksOutOfOrder {
		slices.Sort(ids)
	}
	for _, id := range ids {
		if err := l.lockStream(t, id); err != nil {
			return err
		}
	}
	return nil
}

// lockStream locks the row of a stream, and makes one where there is none. An INSERT
// draws the number of the row before it finds that there is one.
func (l *tables) lockStream(t *transaction, id string) error {
	number := t.nextval(streamNumbers, 1)
	if err := t.lock("streams", id); err != nil {
		return err
	}
	if _, ok := l.streams.get(t, id); !ok {
		l.streams.put(t, id, streamRow{number: number})
	}
	return nil
}

// advance gives a stream its new version, and the key that its next event is held to.
func (l *tables) advance(t *transaction, p es.Prepared, own window.XID) (streamRow, error) {
	id := p.Stream.String()
	if err := t.lock("streams", id); err != nil {
		return streamRow{}, err
	}
	row, _ := l.streams.get(t, id)
	row.version += int64(len(p.Events))
	row.lastKey = max(row.lastKey, own)
	l.streams.put(t, id, row)
	return row, nil
}

// insert writes the events of an append and returns the position of the last one.
func (l *tables) insert(t *transaction, p es.Prepared, row streamRow, own window.XID, early func() int64) int64 {
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
		t.write()
		ev := &eventRow{Recorded: r, Row: window.Row{Position: position, XID: own, HeldUntil: held}, stream: row.number, by: t.level()}
		at, _ := slices.BinarySearchFunc(l.events, position, func(e *eventRow, p int64) int { return cmp.Compare(e.Row.Position, p) })
		l.events = slices.Insert(l.events, at, ev)
	}
	return position
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

// findAnywhere looks for an append without an expected version at the end of its stream.
func (l *tables) findAnywhere(t *transaction, p es.Prepared, head int64) (outcome, bool) {
	if _, exact := p.Expected.Version(); exact || !p.Repeatable {
		return outcome{}, false
	}
	return l.find(t, p, head-int64(max(searchedEvents, len(p.Events)))+1, head)
}

func (l *tables) duplicateOrConflict(t *transaction, p es.Prepared, head int64) outcome {
	if version, exact := p.Expected.Version(); exact {
		if o, ok := l.find(t, p, version+1, version+1); ok {
			return o
		}
	}
	return outcome{version: head}
}

// find looks for the events of an append, the first of them at a version from first to
// last. The latest such place counts.
func (l *tables) find(t *transaction, p es.Prepared, first, last int64) (outcome, bool) {
	events := l.ofStream(t, p.Stream)
	for at := min(last, int64(len(events)-len(p.Events)+1)); at >= max(first, 1); at-- {
		place := events[at-1 : at-1+int64(len(p.Events))]
		if slices.EqualFunc(place, p.Events, func(r *eventRow, e es.EventData) bool { return r.ID == e.ID }) {
			end := place[len(place)-1]
			return outcome{duplicate: true, version: end.Version, position: end.Row.Position}, true
		}
	}
	return outcome{}, false
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
