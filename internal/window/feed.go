package window

import (
	"context"
	"fmt"
	"slices"

	"github.com/peatlog/peat/es"
)

// Life is what seldom changes about a log: a crash and a move do it.
type Life struct {
	Epochs      Epochs
	Incarnation string
}

// Equal reports whether the lives are the same.
func (l Life) Equal(o Life) bool {
	return l.Incarnation == o.Incarnation && slices.Equal(l.Epochs, o.Epochs)
}

// Resume returns the cursor of a checkpoint as one that goes on in this life of the
// log. The cursor of the empty checkpoint begins at the first epoch.
func (l Life) Resume(c Cursor, behind es.Checkpoint) (Cursor, error) {
	if err := c.Survived(l.Incarnation); err != nil {
		return c, err
	}
	c.Incarnation = l.Incarnation
	if behind != "" {
		return c, nil
	}
	from, err := l.Epochs.Begin(l.Epochs[0].Number)
	c.From = from
	return c, err
}

// Moment is a frontier and what is known of the log's life at it.
type Moment struct {
	Frontier
	Life
}

// Open returns the cursor of a checkpoint with its window open, which ends at the
// moment, or without one where there is nothing new.
func (m Moment) Open(c Cursor, behind es.Checkpoint) (Cursor, error) {
	c, err := m.Resume(c, behind)
	if err != nil || c.To != nil {
		return c, err
	}
	to, err := c.Until(m.Frontier, m.Epochs)
	if err != nil {
		return c, err
	}
	c, _ = c.Open(to)
	return c, nil
}

// Nearby is how far a checkpoint may be behind what was last known of the log for its
// next window to be read in the round trip that opens it: where much lies in between,
// the planner has to know the frontier to see how to find the first of it.
const Nearby = 2000

// helps reports whether the cursor is in a window, or between two and near the end of
// the log. Under Settled nobody knows how much waits there.
func (m Moment) helps(c Cursor) bool {
	if c.To != nil {
		_, _, err := m.Epochs.Bounds(c.From.Epoch)
		return err == nil
	}
	return c.Horizon == es.Committed && c.From.Epoch == m.Epochs.Current() && m.LastPosition-c.From.LastPosition <= Nearby
}

// Page is the next events of a window, in the order of positions. More is false when
// the window holds nothing behind them.
type Page struct {
	Events []es.Recorded
	More   bool
}

// Log is where the moments and the rows of a feed come from.
type Log interface {
	// Ask asks what the log's life is and, if known is not nil, for the next page of the
	// cursor's window. For a cursor without a window it takes a frontier first, at which
	// the window ends; else the moment has none. known is what the caller believes the
	// life to be: if it differs from that of the moment, the page means nothing.
	Ask(ctx context.Context, c Cursor, known *Life) (Moment, Page, error)
	// Backstop returns an [*es.OrderingViolationError] for the first of the events of
	// whose stream a later version is delivered in the window or before it.
	Backstop(ctx context.Context, w Window, events []es.Recorded) error
	// Holds reports whether a window holds any event, whatever a filter says.
	Holds(ctx context.Context, w Window) (bool, error)
}

// Next returns the batch of a log behind a checkpoint, and the moment that it ends at,
// to be given to the next call as known, which may be nil. With it, a batch in an open
// window or near the end of the log is asked for once, and twice without.
func Next(ctx context.Context, log Log, behind es.Checkpoint, opts es.FeedOptions, known *Moment) (es.Batch, *Moment, error) {
	c, err := ParseAt(behind, opts.Horizon)
	if err != nil {
		return es.Batch{}, known, err
	}
	c, p, now, err := read(ctx, log, c, behind, known)
	if err != nil {
		return es.Batch{}, known, err
	}
	if c.To == nil {
		return es.Batch{Next: behind}, &now, nil
	}
	if suspicious := c.suspicious(p.Events); len(suspicious) > 0 {
		if err := log.Backstop(ctx, c.Window(now.Epochs), suspicious); err != nil {
			return es.Batch{}, &now, err
		}
	}
	next := c.Delivered(p.Events)
	if !p.More {
		next = next.Close()
	}
	// A window that begins in an epoch which is over does not reach the end of the log.
	more := p.More || c.From.Epoch != now.Epochs.Current()
	b := es.Batch{Events: p.Events, Next: next.Checkpoint(), More: more}
	if b.Moved, err = moved(ctx, log, c, next, now.Epochs, opts.Filter, len(p.Events)); err != nil {
		return es.Batch{}, &now, err
	}
	if len(p.Events) > 0 {
		b.Prefix = func(n int) es.Checkpoint {
			if n == len(p.Events) {
				return b.Next
			}
			return c.Delivered(p.Events[:n]).Checkpoint()
		}
	}
	return b, &now, nil
}

// read returns the cursor with its window open, and the next page of that, or a cursor
// without one where there is nothing new. For an open window, or near the end of the
// log, it asks once if what is known of the log's life still holds, as it does unless
// the server has crashed or the log has moved.
func read(ctx context.Context, log Log, c Cursor, behind es.Checkpoint, known *Moment) (Cursor, Page, Moment, error) {
	if known != nil && behind != "" && known.helps(c) {
		now, p, err := log.Ask(ctx, c, &known.Life)
		if err != nil {
			return c, p, now, err
		}
		if known.Equal(now.Life) {
			c, err := now.Open(c, behind)
			now.LastPosition = max(now.LastPosition, known.LastPosition)
			return c, p, now, err
		}
	}
	now, _, err := log.Ask(ctx, c, nil)
	if err != nil {
		return c, Page{}, now, err
	}
	if c, err = now.Open(c, behind); err != nil || c.To == nil {
		return c, Page{}, now, err
	}
	_, p, err := log.Ask(ctx, c, &now.Life)
	return c, p, now, err
}

// suspicious returns the events of a batch, which are in order, that can be behind a
// later one of their stream: those that are not above everything delivered before.
func (c Cursor) suspicious(events []es.Recorded) []es.Recorded {
	top := max(c.From.LastPosition, c.High)
	n := slices.IndexFunc(events, func(e es.Recorded) bool { return e.Position > top })
	if n < 0 {
		return events
	}
	return events[:n]
}

// moved reports whether there are events between two cursors, delivered or not. What a
// filter skips at or below the position of the first one is looked for: that others
// have ended meanwhile does not say that they have appended.
func moved(ctx context.Context, log Log, c, next Cursor, epochs Epochs, filter es.Filter, events int) (bool, error) {
	if events > 0 || next.From.LastPosition != c.From.LastPosition || next.From.Epoch != c.From.Epoch {
		return true, nil
	}
	w := c.Window(epochs)
	if w.Stragglers().Empty() || filter.All() {
		return false, nil
	}
	return log.Holds(ctx, w)
}

// ParseAt returns the cursor of a checkpoint of this horizon; that of the empty one is
// still to be resumed. Its errors are [es.ErrCheckpoint].
func ParseAt(behind es.Checkpoint, horizon es.Horizon) (Cursor, error) {
	if behind == "" {
		return Cursor{Horizon: horizon}, nil
	}
	c, err := Parse(behind)
	if err != nil {
		return c, fmt.Errorf("%w: %w", es.ErrCheckpoint, err)
	}
	if c.Horizon != horizon {
		return c, fmt.Errorf("%w: it is of the horizon %v, not %v; reset the subscription to change it", es.ErrCheckpoint, c.Horizon, horizon)
	}
	return c, nil
}

// ParseAny returns the cursor of a stored checkpoint, also of the empty one, whose
// horizon is anybody's and given as Committed. Its errors are [es.ErrCheckpoint].
func ParseAny(cp es.Checkpoint, epochs Epochs) (Cursor, error) {
	if cp == "" {
		from, err := epochs.Begin(epochs[0].Number)
		return Cursor{From: from}, err
	}
	c, err := Parse(cp)
	if err != nil {
		return c, fmt.Errorf("%w: %w", es.ErrCheckpoint, err)
	}
	return c, nil
}

// UpTo returns what lies between a cursor and now: the rest of the open window, and
// one up to the end of each epoch. What a Settled reader has held back counts, too.
func (c Cursor) UpTo(now Moment) ([]Window, error) {
	if c.Horizon == es.Settled {
		now.Snapshot = Snapshot{Xmin: now.Next, Xmax: now.Next}
	}
	var windows []Window
	for {
		if c.To == nil {
			to, err := c.Until(now.Frontier, now.Epochs)
			if err != nil {
				return nil, err
			}
			opened, ok := c.Open(to)
			if !ok {
				return windows, nil
			}
			c = opened
		}
		windows = append(windows, c.Window(now.Epochs))
		c = c.Close()
	}
}

// Grown tells for each checkpoint whether there may be something behind it at the
// moment, whose position is taken as [Cursor.MayHaveMore] wants. It says so, too, of a
// checkpoint that is of no use, which is for the feed to report.
func (m Moment) Grown(behind []es.Checkpoint) []bool {
	grown := make([]bool, len(behind))
	for i, cp := range behind {
		c, err := ParseAny(cp, m.Epochs)
		grown[i] = err != nil || c.Survived(m.Incarnation) != nil || c.MayHaveMore(m.Frontier)
	}
	return grown
}

// Done is how far the cursor has come in a log that ends at position last, from 0 to 1.
func (c Cursor) Done(last int64) float64 {
	if last <= 0 {
		return 1
	}
	return min(1, float64(max(c.From.LastPosition, c.Position))/float64(last))
}

// Covered reports whether each of the next cursors has come as far as each of the live
// ones. Where the cursors alone do not tell, the log does, which holds asks whether a
// window holds any event: moments that differ have the same events before them when
// nothing was appended between.
func Covered(next, live []Cursor, epochs Epochs, holds func(Window) (bool, error)) (bool, error) {
	for _, n := range next {
		for _, l := range live {
			if n.Covers(l) {
				continue
			}
			w, ok := n.missing(l, epochs)
			if !ok {
				return false, nil
			}
			if more, err := holds(w); more || err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// missing returns the window of what may be delivered at o and not at c. If it holds
// nothing, c has come as far as o. False means that there is no such window, and c has
// not.
func (c Cursor) missing(o Cursor, epochs Epochs) (Window, bool) {
	if c.Horizon != o.Horizon || c.From.Epoch != o.End().Epoch {
		return Window{}, false
	}
	w := Window{Horizon: c.Horizon, From: c.From, To: o.End(), Epochs: epochs}
	if c.To != nil && c.To.Covers(c.Horizon, w.To) {
		w.After = c.Position
	}
	return w, true
}
