package proptest

import (
	"context"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

// feeder reads one batch of the log. It implements [window.Log], so the algorithm is
// that of es/postgres. Before each statement it calls pause, so that anything can happen
// between two of them.
type feeder struct {
	*tables
	opts  es.FeedOptions
	pause func(statement string)
}

var epochs = window.Epochs{{Number: 1}}

func (l *tables) life() window.Life {
	life := window.Life{Epochs: epochs, Incarnation: l.incarnationID()}
	if l.wrong.crashUnnoticed {
		life.Incarnation = "the same"
	}
	return life
}

// Ask implements [window.Log].
func (f feeder) Ask(_ context.Context, c window.Cursor, known *window.Life) (window.Moment, window.Page, error) {
	var m window.Moment
	if c.To == nil {
		m.Frontier = f.frontier()
		c.To = &m.Frontier
	}
	f.pause("life")
	m.Life = f.life()
	if known == nil {
		return m, window.Page{}, nil
	}
	f.pause("page")
	return m, f.page(c.Window(known.Epochs)), nil
}

// frontier takes a frontier: three statements, in this order.
func (f feeder) frontier() window.Frontier {
	to := window.Frontier{Epoch: epochs.Current()}
	position := func() {
		f.pause("position")
		to.LastPosition = max(f.lastPosition()-f.slack.position, 0)
	}
	snapshot := func() {
		f.pause("snapshot")
		if to.Snapshot = f.snapshot(); f.wrong.runningForgotten && len(to.Snapshot.Running) > 1 {
			to.Snapshot.Running = to.Snapshot.Running[:1]
		}
	}
	next := func() {
		f.pause("next")
		to.Next = f.nextXID() + window.XID(f.slack.next)
	}
	statements := []func(){position, snapshot, next}
	switch {
	case f.wrong.nextFirst:
		statements = []func(){snapshot, next, position}
	case f.slack.snapshotFirst:
		statements = []func(){snapshot, position, next}
	}
	for _, run := range statements {
		run()
	}
	return to
}

// slack is how a frontier may be off without any harm: its position too low, its next id
// too high, or its snapshot older than its position.
type slack struct {
	position, next int64
	snapshotFirst  bool
}

// page reads the next rows of a window.
func (f feeder) page(w window.Window) window.Page {
	var p window.Page
	size := 0
	for _, e := range f.events {
		if !e.by.visibleTo(nil) || !w.Finds(e.Row) || !selects(f.opts.Filter, e) {
			continue
		}
		if f.wrong.stragglersNever && e.Row.Position <= w.From.LastPosition {
			continue
		}
		if size += len(e.Data); size > f.opts.MaxBytes && len(p.Events) > 0 {
			p.More = true
			break
		}
		if p.Events = append(p.Events, e.Recorded); len(p.Events) == f.opts.MaxEvents {
			p.More = true
			break
		}
	}
	return p
}

// Backstop implements [window.Log].
func (f feeder) Backstop(_ context.Context, w window.Window, events []es.Recorded) error {
	f.pause("backstop")
	for _, r := range events {
		violation := &es.OrderingViolationError{Stream: r.Stream, Version: r.Version}
		for _, e := range f.events {
			delivered := w.From.Sees(w.Horizon, w.Epochs, e.Row) || e.Row.Position <= w.After && w.To.Sees(w.Horizon, w.Epochs, e.Row)
			if e.Stream == r.Stream && e.Version > r.Version && delivered && e.by.visibleTo(nil) {
				violation.LastDelivered = max(violation.LastDelivered, e.Version)
			}
		}
		if violation.LastDelivered > 0 {
			return violation
		}
	}
	return nil
}

// Holds implements [window.Log].
func (f feeder) Holds(_ context.Context, w window.Window) (bool, error) {
	f.pause("holds")
	f.opts = es.FeedOptions{MaxEvents: 1, MaxBytes: 1}
	return len(f.page(w).Events) > 0, nil
}
