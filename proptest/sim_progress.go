package proptest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/parking"
	"github.com/peatlog/peat/internal/window"
)

// subscriptionRow is a row of subscriptions.
type subscriptionRow struct {
	checkpoint       es.Checkpoint
	revision         int64
	holder, failure  string
	claimed, updated time.Time
}

// projectionRow is a row of projections.
type projectionRow struct {
	es.Generations
	last int
}

func (l *tables) load(t *transaction, subscription string) (es.Checkpoint, int64) {
	row, _ := l.subscriptions.get(t, subscription)
	return row.checkpoint, row.revision
}

// claim gives a subscription a revision above all that were ever given.
func (l *tables) claim(t *transaction, subscription, holder string) (es.Checkpoint, int64, error) {
	if err := t.lock("subscriptions", subscription); err != nil {
		return "", 0, err
	}
	row, ok := l.subscriptions.get(t, subscription)
	if !ok {
		row.updated = l.now()
	}
	l.fence(&row)
	row.holder, row.failure, row.claimed = holder, "", l.now()
	l.subscriptions.put(t, subscription, row)
	return row.checkpoint, row.revision, nil
}

// fence gives a row a revision that nobody knows.
func (l *tables) fence(row *subscriptionRow) {
	l.claims++
	row.revision = max(l.claims<<32, (row.revision>>32+1)<<32)
}

// save does what save_progress does. An error of it undoes the transaction.
func (l *tables) save(t *transaction, p es.Progress) error {
	if err := t.check(); err != nil {
		return err
	}
	err := l.saveProgress(t, p)
	if err != nil {
		t.fail()
	}
	return err
}

func (l *tables) saveProgress(t *transaction, p es.Progress) error {
	for _, f := range p.Park {
		if err := f.Stream.Validate(); err != nil {
			return fmt.Errorf("park position %d: %w", f.Position, err)
		}
	}
	cp, incarnation := es.Checkpoint(""), ""
	if p.Checkpoint != "" {
		cp, incarnation = window.Durable(p.Checkpoint)
	}
	if incarnation != "" && incarnation != l.life().Incarnation {
		return fmt.Errorf("subscription %q: %w", p.Subscription, es.ErrLostCheckpoint)
	}
	stale := &es.StaleCheckpointError{Subscription: p.Subscription, Revision: p.Revision}
	if row, ok := l.subscriptions.get(t, p.Subscription); (p.Revision > 0 && !ok || row.revision != p.Revision) && !l.wrong.revisionsIgnored {
		return stale
	}
	if err := t.lock("subscriptions", p.Subscription); err != nil {
		return err
	}
	row, ok := l.subscriptions.get(t, p.Subscription) // it may be another one behind the lock
	if (ok != (p.Revision > 0) || row.revision != p.Revision) && !l.wrong.revisionsIgnored {
		return stale
	}
	row.checkpoint, row.failure, row.updated = cp, "", l.now()
	row.revision++
	l.subscriptions.put(t, p.Subscription, row)
	return l.park(t, p)
}

// park takes back and sets aside what the progress says.
func (l *tables) park(t *transaction, p es.Progress) error {
	for _, position := range p.Unpark {
		key := parkedKey(p.Subscription, position)
		if err := t.lock("parked", key); err != nil {
			return err
		}
		if _, ok := l.parked.get(t, key); !ok {
			return fmt.Errorf("subscription %q: %w", p.Subscription, es.ErrNotParked)
		}
		l.parked.del(t, key)
	}
	for _, stream := range parking.Waiting(p.Park) {
		parked, err := l.holdParked(t, p.Subscription, stream)
		if err == nil && !parked {
			err = fmt.Errorf("subscription %q: %w", p.Subscription, es.ErrNotParked)
		}
		if err != nil {
			return err
		}
	}
	for _, f := range p.Park {
		key := parkedKey(p.Subscription, f.Position)
		if err := t.lock("parked", key); err != nil {
			return err
		}
		row, ok := l.parked.get(t, key)
		if !ok {
			row.ParkedAt = l.now()
		}
		row.Subscription, row.Failure, row.Redrive = p.Subscription, f, false
		l.parked.put(t, key, row)
	}
	return nil
}

// holdParked locks the first event of a stream that a subscription has parked, so that it
// stays until t ends, and reports whether there is one.
func (l *tables) holdParked(t *transaction, subscription string, stream es.StreamID) (bool, error) {
	for _, p := range l.parkedOf(t, []string{subscription}) {
		if p.Stream != stream {
			continue
		}
		key := parkedKey(subscription, p.Position)
		if err := t.lock("parked", key); err != nil {
			return false, err
		}
		if _, ok := l.parked.get(t, key); ok { // still, behind the lock
			return true, nil
		}
	}
	return false, nil
}

// parkedKey is one that sorts by subscription and position.
func parkedKey(subscription string, position int64) string {
	return subscription + "\x00" + fmt.Sprintf("%020d", position)
}

// parkedOf returns what is parked in the subscriptions, by position.
func (l *tables) parkedOf(t *transaction, subscriptions []string) []es.Parked {
	var all []es.Parked
	for _, key := range l.parked.keys(t) {
		if p, _ := l.parked.get(t, key); slices.Contains(subscriptions, p.Subscription) {
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b es.Parked) int { return cmp.Compare(a.Position, b.Position) })
	return all
}

// redrive asks for parked events.
func (l *tables) redrive(t *transaction, stream es.StreamID, subscriptions []string) (asked int, err error) {
	for _, p := range l.parkedOf(t, subscriptions) {
		if stream != (es.StreamID{}) && stream != p.Stream {
			continue
		}
		key := parkedKey(p.Subscription, p.Position)
		if err := t.lock("parked", key); err != nil {
			return 0, err
		}
		if p, ok := l.parked.get(t, key); ok {
			p.Redrive = true
			l.parked.put(t, key, p)
			asked++
		}
	}
	return asked, nil
}

// discard gives up a parked event.
func (l *tables) discard(t *transaction, stream es.StreamID, version int64, by, reason string, subscriptions []string) error {
	gone := 0
	for _, p := range l.parkedOf(t, subscriptions) {
		if p.Stream != stream || p.Version != version {
			continue
		}
		key := parkedKey(p.Subscription, p.Position)
		if err := t.lock("parked", key); err != nil {
			return err
		}
		if _, ok := l.parked.get(t, key); !ok {
			continue
		}
		l.parked.del(t, key)
		l.discards++
		l.discarded.put(t, fmt.Sprintf("%020d", l.discards), es.Discarded{
			Subscription: p.Subscription, Failure: p.Failure, By: by, Reason: reason, DiscardedAt: l.now(),
		})
		gone++
	}
	if gone == 0 {
		return es.ErrNotParked
	}
	return nil
}

// forget removes the progress of subscriptions and what they have parked.
func (l *tables) forget(t *transaction, subscriptions []string, parked bool) error {
	for _, name := range slices.Sorted(slices.Values(subscriptions)) {
		if err := t.lock("subscriptions", name); err != nil {
			return err
		}
		l.subscriptions.del(t, name)
	}
	for _, p := range l.parkedOf(t, subscriptions) {
		if !parked {
			break
		}
		if err := t.lock("parked", parkedKey(p.Subscription, p.Position)); err != nil {
			return err
		}
		l.parked.del(t, parkedKey(p.Subscription, p.Position))
	}
	return nil
}

// projection returns a projection's row, locked. One that has none gets its first
// generation.
func (l *tables) projection(t *transaction, name string, segments int) (projectionRow, error) {
	if err := t.lock("projections", name); err != nil {
		return projectionRow{}, err
	}
	row, ok := l.projections.get(t, name)
	if !ok && segments > 0 {
		row = projectionRow{es.Generations{Live: 1, Segments: segments, Since: l.now()}, 1}
		l.projections.put(t, name, row)
	}
	return row, nil
}

// beginRebuild has a new generation built.
func (l *tables) beginRebuild(t *transaction, name string, segments int, keep bool) (es.Generations, error) {
	row, err := l.projection(t, name, segments)
	if err != nil {
		return es.Generations{}, err
	}
	if row.Building > 0 {
		return es.Generations{}, es.ErrRebuilding
	}
	row.last++
	row.Building, row.BuildingSegments, row.Keep = row.last, segments, keep
	l.projections.put(t, name, row)
	return row.Generations, nil
}

// building returns the row of a projection whose generation to is being built.
func (l *tables) building(t *transaction, name string, to int) (projectionRow, error) {
	row, err := l.projection(t, name, 0)
	if err == nil && (row.Building != to || to == 0) {
		err = es.ErrNotRebuilding
	}
	return row, err
}

func (l *tables) cancelRebuild(t *transaction, o es.TakeOver) error {
	row, err := l.building(t, o.Name, o.To)
	if err != nil {
		return err
	}
	row.Building, row.BuildingSegments, row.Keep = 0, 0, false
	l.projections.put(t, o.Name, row)
	return l.forget(t, o.Next, true)
}

// ready stops the live generation and reports whether the next one has come as far.
func (l *tables) ready(t *transaction, o es.TakeOver) (row projectionRow, ready bool, err error) {
	if row, err = l.building(t, o.Name, o.To); err != nil {
		return row, false, err
	}
	for _, name := range slices.Sorted(slices.Values(o.Live)) {
		if err := t.lock("subscriptions", name); err != nil {
			return row, false, err
		}
	}
	live, err := l.cursors(t, o.Live)
	if err != nil {
		return row, false, err
	}
	next, err := l.cursors(t, o.Next)
	if err != nil {
		return row, false, err
	}
	f := feeder{tables: l, pause: func(string) {}}
	ready, err = window.Covered(next, live, epochs, func(w window.Window) (bool, error) { return f.Holds(nil, w) }) //nolint:staticcheck // it needs no context
	return row, ready, err
}

// cursors returns those of the subscriptions that are stored.
func (l *tables) cursors(t *transaction, subscriptions []string) ([]window.Cursor, error) {
	var all []window.Cursor
	for _, name := range subscriptions {
		cp, _ := l.load(t, name)
		c, err := window.ParseAny(cp, epochs)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// replace makes the next generation the live one.
func (l *tables) replace(t *transaction, o es.TakeOver, row projectionRow) error {
	keep := row.Keep
	row.Generations = es.Generations{Live: row.Building, Segments: row.BuildingSegments, Since: l.now()}
	l.projections.put(t, o.Name, row)
	if !keep {
		return l.forget(t, o.Live, true)
	}
	for _, name := range o.Live {
		if sub, ok := l.subscriptions.get(t, name); ok {
			l.fence(&sub)
			l.subscriptions.put(t, name, sub)
		}
	}
	return nil
}

// reader is the state of a subscription's reader.
func (l *tables) reader(subscription string) es.Reader {
	row, _ := l.subscriptions.get(nil, subscription)
	return es.Reader{
		Checkpoint: row.checkpoint, Revision: row.revision, Holder: row.holder, ClaimedAt: row.claimed,
		UpdatedAt: row.updated, Error: row.failure, Parked: len(l.parkedOf(nil, []string{subscription})),
	}
}

// recordFailure keeps why a reader stopped, if it was not overtaken.
func (l *tables) recordFailure(t *transaction, subscription string, revision int64, reason string) error {
	if err := t.lock("subscriptions", subscription); err != nil {
		return err
	}
	if row, ok := l.subscriptions.get(t, subscription); ok && row.revision == revision {
		row.failure = reason
		l.subscriptions.put(t, subscription, row)
	}
	return nil
}

// delivered reports whether the event at a position is behind the checkpoint of its segment.
func (l *tables) delivered(position int64, segments []string) (bool, error) {
	if len(segments) == 0 {
		return false, errors.New("no subscription is named")
	}
	for _, e := range l.events {
		if e.Row.Position == position && e.by.visibleTo(nil) {
			cp, _ := l.load(nil, segments[e.stream%int64(len(segments))])
			c, err := window.ParseAny(cp, epochs)
			return err == nil && c.Has(epochs, e.Row), err
		}
	}
	return false, fmt.Errorf("there is no event at position %s", strconv.FormatInt(position, 10))
}
