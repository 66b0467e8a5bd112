// Package window is the algorithm of the ordering-safe feed: which rows of the log
// a reader gets next, as a function of where it stands and of two moments.
//
// # Model
//
// A [Frontier] is a moment of the log: the transactions that had ended, and how
// far positions had been drawn. A reader delivers windows: everything that became
// visible between two frontiers, in the order of positions. A [Cursor] is where it
// stands: From is delivered, To is being delivered, Position says how far.
//
// Reading by position alone would lose events, because a smaller position may
// commit later. Reading behind the oldest running transaction would wait for every
// open transaction of the cluster. A window does neither: a row that commits late
// is in the window in which it became visible, wherever its position is.
//
// # Why it is sound
//
// Positions are drawn by a transaction that has its id and holds the stream's row
// lock. So inside a stream position order is version order, and no version can
// become visible without the one before it; and an event that was appended after
// another one was read has the larger position.
//
// The moment is taken in the order position, snapshot, next id (see [Frontier]),
// so a row that the snapshot does not see either has a position above
// LastPosition, or a transaction id below Next. Those rows are the two arms of a
// window; [Window.Holds] is their definition.
package window

import (
	"fmt"
	"math"
	"slices"

	"github.com/peatlog/peat/es"
)

// Frontier is a moment of the log. It is taken in this order, each in a statement
// of its own: LastPosition, Snapshot, Next.
type Frontier struct {
	// Epoch is the life of the log in one cluster; see [Epochs].
	Epoch int `json:"epoch"`
	// Snapshot says which transactions had ended.
	Snapshot Snapshot `json:"snapshot"`
	// Next is an id above that of every transaction that had begun by then.
	Next XID `json:"next"`
	// LastPosition is a position that was drawn by then, and every later one
	// may have been.
	LastPosition int64 `json:"last_position"`
}

// Row is what the algorithm needs to know of an event.
type Row struct {
	Position int64
	XID      XID
	// HeldUntil is the key of the stream's previous event where that is larger
	// than XID, else 0.
	HeldUntil XID
}

// key is what the Settled horizon compares.
func (r Row) key() XID { return max(r.XID, r.HeldUntil) }

// Sees reports whether the row was visible at the frontier. Rows of an earlier
// epoch are, rows of a later one are not.
func (f Frontier) Sees(h es.Horizon, epochs Epochs, r Row) bool {
	if e := epochs.Of(r.Position); e != f.Epoch {
		return e < f.Epoch
	}
	if h == es.Settled {
		return r.key() < f.Snapshot.Xmin
	}
	return f.Snapshot.Sees(r.XID)
}

// Window is what lies between two frontiers.
type Window struct {
	Horizon  es.Horizon
	From, To Frontier
	Epochs   Epochs
	// After is the position up to which the window is delivered.
	After int64
}

// Holds reports whether the window holds a row that is committed now. It is the
// definition; see Finds.
func (w Window) Holds(r Row) bool {
	return r.Position > w.After && w.To.Sees(w.Horizon, w.Epochs, r) && !w.From.Sees(w.Horizon, w.Epochs, r)
}

// Stragglers are the ids that a row may have that is not above From's position and
// was not visible there: Running, and those from Low up to High, exclusive.
type Stragglers struct {
	Running   []XID
	Low, High XID
}

// Empty reports whether there are none.
func (s Stragglers) Empty() bool { return len(s.Running) == 0 && s.Low >= s.High }

// Stragglers returns the ids to look for at and below From's position.
func (w Window) Stragglers() Stragglers {
	f := w.From
	if w.Horizon == es.Settled {
		return Stragglers{Low: f.Snapshot.Xmin, High: f.Next}
	}
	return Stragglers{Running: f.Snapshot.Running, Low: f.Snapshot.Xmax, High: f.Next}
}

// Has reports whether a row has one of the ids.
func (s Stragglers) Has(r Row) bool {
	in := func(x XID) bool {
		_, running := slices.BinarySearch(s.Running, x)
		return running || x >= s.Low && x < s.High
	}
	return in(r.XID) || r.HeldUntil > 0 && in(r.HeldUntil)
}

// Finds reports whether one of the two arms of a window leads to a row that it holds:
// it does for every row that there can be. The stores implement it by their indexes.
func (w Window) Finds(r Row) bool {
	base, end, err := w.Epochs.Bounds(w.From.Epoch)
	above := r.Position > w.From.LastPosition && r.Position <= end
	return err == nil && (above || r.Position > base && w.Stragglers().Has(r)) && w.Holds(r)
}

// Epoch is a life of the log in one cluster, whose transaction ids are its own.
// Its positions are above Base, up to the next epoch's.
type Epoch struct {
	Number int
	Base   int64
}

// Epochs are all epochs of a log, oldest first. There is always one.
type Epochs []Epoch

// Current returns the number of the latest epoch.
func (e Epochs) Current() int { return e[len(e)-1].Number }

// Of returns the epoch of a position.
func (e Epochs) Of(position int64) int {
	i := len(e) - 1
	for i > 0 && position <= e[i].Base {
		i--
	}
	return e[i].Number
}

// Bounds returns the positions that an epoch lies between: above base, up to end.
// The latest epoch has no end (the largest position).
func (e Epochs) Bounds(number int) (base, end int64, err error) {
	i := slices.IndexFunc(e, func(e Epoch) bool { return e.Number == number })
	if i < 0 {
		return 0, 0, fmt.Errorf("the log has no epoch %d", number)
	}
	if i+1 < len(e) {
		return e[i].Base, e[i+1].Base, nil
	}
	return e[i].Base, math.MaxInt64, nil
}

// Begin is the frontier before the first event of an epoch.
func (e Epochs) Begin(number int) (Frontier, error) {
	base, _, err := e.Bounds(number)
	return Frontier{
		Epoch: number, LastPosition: base, Next: FirstXID,
		Snapshot: Snapshot{Xmin: FirstXID, Xmax: FirstXID},
	}, err
}
