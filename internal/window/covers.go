package window

import (
	"slices"

	"github.com/peatlog/peat/es"
)

// Covers reports whether s sees every transaction that o sees.
func (s Snapshot) Covers(o Snapshot) bool {
	if slices.ContainsFunc(s.Running, o.Sees) {
		return false
	}
	return !o.seesAny(s.Xmax, o.Xmax) // s sees nothing from its Xmax on
}

// Covers reports whether every row that is visible at o is visible at f. Of two
// frontiers of different epochs the later one does.
func (f Frontier) Covers(h es.Horizon, o Frontier) bool {
	switch {
	case f.Epoch != o.Epoch:
		return f.Epoch > o.Epoch
	case h == es.Settled:
		return f.Snapshot.Xmin >= o.Snapshot.Xmin
	}
	return f.Snapshot.Covers(o.Snapshot)
}

// Covers reports whether everything that is delivered at o is delivered at c. False
// may also mean that it cannot be told without looking at the rows.
func (c Cursor) Covers(o Cursor) bool {
	if c.Horizon != o.Horizon || !c.From.Covers(c.Horizon, o.From) {
		return false
	}
	return o.To == nil || c.From.Covers(c.Horizon, *o.To) ||
		c.To != nil && c.To.Covers(c.Horizon, *o.To) && c.Position >= o.Position
}

// End is the frontier that the cursor does not go beyond: where the open window ends,
// else where the last one did.
func (c Cursor) End() Frontier {
	if c.To != nil {
		return *c.To
	}
	return c.From
}

// Has reports whether a row is delivered at the cursor.
func (c Cursor) Has(epochs Epochs, r Row) bool {
	return c.From.Sees(c.Horizon, epochs, r) ||
		c.To != nil && r.Position <= c.Position && c.To.Sees(c.Horizon, epochs, r)
}

// MayHaveMore reports whether there may be a row behind the cursor that is visible at
// now. Unlike that of other frontiers, now's LastPosition is taken after its snapshot:
// so every row that it sees has a position up to there. Its Next is not needed.
func (c Cursor) MayHaveMore(now Frontier) bool {
	switch {
	case c.To != nil, c.From.Epoch != now.Epoch, c.From.LastPosition != now.LastPosition:
		return true
	case c.Horizon == es.Settled:
		// What is held back waits for the oldest transaction that was in flight.
		return c.From.Snapshot.Xmin != c.From.Next && c.From.Snapshot.Xmin != now.Snapshot.Xmin
	}
	// Whoever was in flight may have a position up to LastPosition.
	return slices.ContainsFunc(c.From.Snapshot.Running, now.Snapshot.Sees) ||
		now.Snapshot.seesAny(c.From.Snapshot.Xmax, c.From.Next)
}

// seesAny reports whether s sees one of the transactions from low up to high, exclusive.
func (s Snapshot) seesAny(low, high XID) bool {
	if high = min(high, s.Xmax); low >= high {
		return false
	}
	first, _ := slices.BinarySearch(s.Running, low)
	end, _ := slices.BinarySearch(s.Running, high)
	return XID(end-first) < high-low
}
