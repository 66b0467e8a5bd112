package window_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

// smallSnapshot draws a snapshot of ids that are near to each other, so that two of
// them have to do with each other.
func smallSnapshot(t *rapid.T, label string) window.Snapshot {
	xmin := window.XID(rapid.Uint64Range(3, 12).Draw(t, label+" xmin"))
	s := window.Snapshot{Xmin: xmin, Xmax: xmin + window.XID(rapid.Uint64Range(0, 6).Draw(t, label+" width"))}
	for x := s.Xmin; x < s.Xmax; x++ {
		if x == xmin || rapid.Bool().Draw(t, label+" running") {
			s.Running = append(s.Running, x)
		}
	}
	return s
}

// A snapshot covers another one exactly if it sees all that the other one sees.
func TestSnapshotCovers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := smallSnapshot(t, "a"), smallSnapshot(t, "b")
		want := true
		for x := window.FirstXID; x < 30; x++ {
			want = want && (a.Sees(x) || !b.Sees(x))
		}
		if got := a.Covers(b); got != want {
			t.Errorf("%v covers %v: %v, want %v", a, b, got, want)
		}
	})
}

var horizons = []es.Horizon{es.Committed, es.Settled}

func smallFrontier(t *rapid.T, label string) window.Frontier {
	f := window.Frontier{
		Epoch: rapid.IntRange(1, 2).Draw(t, label+" epoch"), Snapshot: smallSnapshot(t, label),
		LastPosition: rapid.Int64Range(0, 20).Draw(t, label+" position"),
	}
	f.Next = f.Snapshot.Xmax + window.XID(rapid.Uint64Range(0, 3).Draw(t, label+" next"))
	return f
}

func smallRow(t *rapid.T, position int64, below window.XID) window.Row {
	r := window.Row{Position: position, XID: window.XID(rapid.Uint64Range(3, uint64(below)-1).Draw(t, "xid"))}
	if rapid.Bool().Draw(t, "held") {
		r.HeldUntil = window.XID(rapid.Uint64Range(uint64(r.XID), uint64(below)-1).Draw(t, "until"))
	}
	return r
}

// What covers a cursor has delivered every row that the cursor has, whatever epoch it
// is of and wherever in its window the cursor is.
func TestCursorCoversWhatIsDelivered(t *testing.T) {
	t.Parallel()
	all := window.Epochs{{Number: 1}, {Number: 2, Base: 10}}
	covered := 0
	rapid.Check(t, func(t *rapid.T) {
		horizon := rapid.SampledFrom(horizons).Draw(t, "horizon")
		a := window.Cursor{Horizon: horizon, From: smallFrontier(t, "a")}
		b := window.Cursor{Horizon: horizon, From: smallFrontier(t, "b")}
		for label, c := range map[string]*window.Cursor{"a": &a, "b": &b} {
			if to := smallFrontier(t, label+"'s end"); rapid.Bool().Draw(t, label+" open") && to.Covers(horizon, c.From) {
				c.To, c.Position = &to, rapid.Int64Range(0, 20).Draw(t, label+" position")
			}
		}
		if !a.Covers(b) {
			return
		}
		covered++
		for range 20 {
			r := smallRow(t, rapid.Int64Range(1, 20).Draw(t, "row"), 25)
			if b.Has(all, r) && !a.Has(all, r) {
				t.Fatalf("%+v covers %+v, which alone has %+v", a, b, r)
			}
		}
		b.Horizon = horizons[1-int(horizon)]
		if a.Covers(b) {
			t.Error("a cursor covers one of another horizon")
		}
	})
	if covered == 0 {
		t.Error("no cursor covered another one")
	}
}

// When a cursor says that there is nothing more, the window up to now holds no row that
// can be there.
func TestNothingMoreMeansNothing(t *testing.T) {
	t.Parallel()
	all := window.Epochs{{Number: 1}, {Number: 2, Base: 0}}
	quiet := 0
	rapid.Check(t, func(t *rapid.T) {
		c := window.Cursor{Horizon: rapid.SampledFrom(horizons).Draw(t, "horizon"), From: smallFrontier(t, "from")}
		now := smallFrontier(t, "now")
		if rapid.Bool().Draw(t, "nothing was in flight") {
			c.From.Snapshot = window.Snapshot{Xmin: c.From.Snapshot.Xmax, Xmax: c.From.Snapshot.Xmax}
			c.From.Next = c.From.Snapshot.Xmax
		}
		if rapid.Bool().Draw(t, "all of some have ended") {
			xmin := c.From.Snapshot.Xmax + window.XID(rapid.Uint64Range(0, 3).Draw(t, "ended"))
			now.Snapshot = window.Snapshot{Xmin: xmin, Xmax: xmin}
		}
		if rapid.Bool().Draw(t, "no position since") {
			now.LastPosition = c.From.LastPosition
		}
		c.From.Epoch, now.Epoch = 2, 2
		if !now.Covers(es.Committed, c.From) || now.LastPosition < c.From.LastPosition || c.MayHaveMore(now) ||
			c.From.Next == window.FirstXID { // there can be no row
			return
		}
		quiet++
		for range 20 {
			// A row that is visible has a position that was drawn by now, and one whose
			// position was drawn by From has an id from before From's Next.
			position, below := rapid.Int64Range(1, max(now.LastPosition, 1)).Draw(t, "row"), c.From.Next
			if position > c.From.LastPosition {
				below = now.Next
			}
			r := smallRow(t, position, max(below, window.FirstXID+1))
			w := window.Window{Horizon: c.Horizon, From: c.From, To: now, Epochs: all}
			if r.Position <= now.LastPosition && w.Holds(r) {
				t.Fatalf("%+v has nothing more at %+v, and there is %+v", c, now, r)
			}
		}
	})
	if quiet == 0 {
		t.Error("no cursor had nothing more")
	}
}

func TestMayHaveMore(t *testing.T) {
	t.Parallel()
	frontier := func(xmin, next window.XID) window.Frontier {
		f := window.Frontier{Epoch: 1, LastPosition: 9, Next: next, Snapshot: window.Snapshot{Xmin: xmin, Xmax: next}}
		for x := xmin; x < next; x++ {
			f.Snapshot.Running = append(f.Snapshot.Running, x)
		}
		return f
	}
	above := frontier(10, 10)
	above.Next = 12
	later, moved := frontier(20, 20), frontier(20, 20)
	later.LastPosition, moved.Epoch = 10, 2
	for name, c := range map[string]struct {
		cursor window.Cursor
		now    window.Frontier
		want   bool
	}{
		"nothing in flight":                    {window.Cursor{From: frontier(10, 10)}, frontier(20, 20), false},
		"a new position":                       {window.Cursor{From: frontier(10, 10)}, later, true},
		"another epoch":                        {window.Cursor{From: frontier(10, 10)}, moved, true},
		"an open window":                       {window.Cursor{From: frontier(10, 10), To: &later}, frontier(10, 10), true},
		"in flight and ended":                  {window.Cursor{From: frontier(10, 11)}, frontier(20, 20), true},
		"in flight above xmax and ended":       {window.Cursor{From: above}, frontier(11, 15), true},
		"in flight above xmax still":           {window.Cursor{From: above}, frontier(10, 15), false},
		"in flight still":                      {window.Cursor{From: frontier(10, 11)}, frontier(10, 11), false},
		"Settled, in flight and ended":         {window.Cursor{Horizon: es.Settled, From: frontier(10, 11)}, frontier(20, 20), true},
		"Settled, the oldest is still running": {window.Cursor{Horizon: es.Settled, From: frontier(10, 11)}, frontier(10, 15), false},
	} {
		if got := c.cursor.MayHaveMore(c.now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
