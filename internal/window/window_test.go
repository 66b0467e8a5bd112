package window_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

func drawSnapshot(t *rapid.T, label string) window.Snapshot {
	xmin := window.XID(rapid.Uint64Range(3, 1<<40).Draw(t, label+" xmin"))
	s := window.Snapshot{Xmin: xmin, Xmax: xmin + window.XID(rapid.Uint64Range(0, 20).Draw(t, label+" width"))}
	if s.Xmax > s.Xmin {
		// The oldest running transaction is what xmin names.
		s.Running = append(s.Running, xmin)
		for x := xmin + 1; x < s.Xmax; x++ {
			if rapid.Bool().Draw(t, label+" running") {
				s.Running = append(s.Running, x)
			}
		}
	}
	return s
}

func TestSnapshotPrintsAndParses(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSnapshot(t, "snapshot")
		back, err := window.ParseSnapshot(s.String())
		if err != nil || !back.Equal(s) {
			t.Errorf("%s reads back as %s, %v", s, back, err)
		}
		for x := max(s.Xmin, 6) - 3; x < s.Xmax+3; x++ {
			if want := x < s.Xmax && !slices.Contains(s.Running, x); s.Sees(x) != want {
				t.Errorf("%s sees %d: %v", s, x, s.Sees(x))
			}
		}
	})
	for _, text := range []string{"", "3", "3:4", "4:3:", "0:0:", "5:9:4", "5:9:9", "5:9:7,6", "5:9:6,6", "a:9:", "5:9:x", "5:9:6,", "5:9:6:"} {
		if s, err := window.ParseSnapshot(text); err == nil {
			t.Errorf("%q parses to %s", text, s)
		}
	}
}

// Only the low half of the next id is known; it is never below xmax, and wraps.
func TestNextIDWraps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		xmax := window.XID(rapid.Uint64Range(3, 1<<40).Draw(t, "xmax"))
		next := xmax + window.XID(rapid.Uint64Range(0, 1<<31).Draw(t, "ahead"))
		if got := (window.Snapshot{Xmin: xmax, Xmax: xmax}).Next(uint32(next)); got != next {
			t.Errorf("next after %d is %d, want %d", xmax, got, next)
		}
	})
}

var epochs = window.Epochs{{Number: 1}, {Number: 2, Base: 100}, {Number: 3, Base: 100}, {Number: 4, Base: 150}}

func TestEpochs(t *testing.T) {
	t.Parallel()
	for position, want := range map[int64]int{1: 1, 100: 1, 101: 3, 150: 3, 151: 4, math.MaxInt64: 4} {
		if got := epochs.Of(position); got != want {
			t.Errorf("position %d is of epoch %d, want %d", position, got, want)
		}
	}
	if base, end, err := epochs.Bounds(4); base != 150 || end != math.MaxInt64 || err != nil || epochs.Current() != 4 {
		t.Errorf("the latest epoch lies between %d and %d, %v", base, end, err)
	}
	if base, end, err := epochs.Bounds(1); base != 0 || end != 100 || err != nil {
		t.Errorf("the first epoch lies between %d and %d, %v", base, end, err)
	}
	if _, _, err := epochs.Bounds(9); err == nil {
		t.Error("there is an epoch 9")
	}
}

// Whatever two frontiers are, each row that is visible at the later one and not at
// the earlier one is found by one of the two arms.
func TestArmsHoldTheWholeWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		horizon := rapid.SampledFrom([]es.Horizon{es.Committed, es.Settled}).Draw(t, "horizon")
		from := window.Frontier{Epoch: 1, Snapshot: drawSnapshot(t, "from"), LastPosition: 50}
		from.Next = from.Snapshot.Xmax + window.XID(rapid.Uint64Range(0, 5).Draw(t, "next"))
		if from.Next == window.FirstXID {
			return
		}
		// A row whose position was drawn when the frontier was taken has an id below Next.
		row := window.Row{
			Position: rapid.Int64Range(1, 50).Draw(t, "position"),
			XID:      window.XID(rapid.Uint64Range(3, uint64(from.Next)-1).Draw(t, "xid")),
		}
		if rapid.Bool().Draw(t, "held") {
			row.HeldUntil = window.XID(rapid.Uint64Range(uint64(row.XID), uint64(from.Next)-1).Draw(t, "until"))
		}
		all := window.Epochs{{Number: 1}}
		to := window.Frontier{Epoch: 1, Next: from.Next, Snapshot: window.Snapshot{Xmin: from.Next, Xmax: from.Next}}
		w := window.Window{Horizon: horizon, From: from, To: to, Epochs: all}
		if w.Holds(row) != w.Finds(row) {
			t.Errorf("held %v and found %v: %+v after %+v", w.Holds(row), w.Finds(row), row, from)
		}
	})
}

func TestCursorIsAValue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		frontier := func(label string) window.Frontier {
			f := window.Frontier{Epoch: 1, Snapshot: drawSnapshot(t, label), LastPosition: rapid.Int64Range(0, 1<<40).Draw(t, label+" position")}
			f.Next = f.Snapshot.Xmax + 1
			return f
		}
		c := window.Cursor{Horizon: rapid.SampledFrom([]es.Horizon{es.Committed, es.Settled}).Draw(t, "horizon"), From: frontier("from")}
		if to := frontier("to"); rapid.Bool().Draw(t, "open") {
			c.To, c.Position, c.High = &to, 7, 9
		}
		back, err := window.Parse(c.Checkpoint())
		if diff := cmp.Diff(c, back); err != nil || diff != "" {
			t.Errorf("error %v (-stored +read):\n%s", err, diff)
		}
	})
}

func TestCursorGoesFromWindowToWindow(t *testing.T) {
	t.Parallel()
	frontier := func(epoch int, xmin, xmax window.XID) window.Frontier {
		return window.Frontier{Epoch: epoch, Snapshot: window.Snapshot{Xmin: xmin, Xmax: xmax}, Next: xmax}
	}
	now := frontier(4, 20, 30)
	c := window.Cursor{From: frontier(4, 20, 25)}
	if to, err := c.Until(now, epochs); err != nil || !cmp.Equal(to, now) {
		t.Errorf("until %+v, %v", to, err)
	}
	if _, ok := c.Open(c.From); ok {
		t.Error("a window between equal frontiers opens")
	}
	settled := window.Cursor{Horizon: es.Settled, From: frontier(4, 20, 25)}
	if _, ok := settled.Open(now); ok {
		t.Error("a Settled window opens although nothing older has ended")
	}
	open, ok := c.Open(now)
	if !ok || open.Window(epochs).After != 0 {
		t.Errorf("opened %v: %+v", ok, open)
	}
	open = open.Delivered([]es.Recorded{{Position: 3}, {Position: 8}})
	if open.Position != 8 || open.High != 8 {
		t.Errorf("delivered up to %+v", open)
	}
	if closed := open.Close(); closed.To != nil || closed.Position != 0 || closed.High != 8 || !cmp.Equal(closed.From, now) {
		t.Errorf("closed %+v", closed)
	}
	// The end of an epoch is the beginning of the next one.
	last := window.Cursor{From: frontier(1, 900, 950)}
	to, err := last.Until(now, epochs)
	if begin, _ := epochs.Begin(2); err != nil || !cmp.Equal(to, begin) || begin.LastPosition != 100 {
		t.Errorf("until %+v, %v", to, err)
	}
	for name, foreign := range map[string]window.Cursor{"ahead": {From: frontier(4, 20, 31)}, "unknown epoch": {From: frontier(9, 3, 3)}} {
		if _, err := foreign.Until(now, epochs); !errors.Is(err, es.ErrForeignEpoch) {
			t.Errorf("%s: got error %v, want ErrForeignEpoch", name, err)
		}
	}
}
