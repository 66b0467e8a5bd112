package main

import "sync"

// tally checks deliveries of streams whose events are numbered from 1. Safe for
// concurrent use.
type tally struct {
	mu                  sync.Mutex
	seen                map[int]map[int64]bool
	highest             map[int]int64
	n                   int // different events
	repeated, reordered int
	arrived             chan struct{} // gets something after each event, if there is room
}

func newTally() *tally {
	return &tally{seen: map[int]map[int64]bool{}, highest: map[int]int64{}, arrived: make(chan struct{}, 1)}
}

func (t *tally) add(p paid) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := t.seen[p.Stream]
	if seen == nil {
		seen = map[int64]bool{}
		t.seen[p.Stream] = seen
	}
	switch {
	case seen[p.Seq]:
		t.repeated++
	case p.Seq < t.highest[p.Stream]:
		t.reordered++
		t.n++
	default:
		t.highest[p.Stream] = p.Seq
		t.n++
	}
	seen[p.Seq] = true
	select {
	case t.arrived <- struct{}{}:
	default:
	}
}

// count is how many different events have come.
func (t *tally) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// addTo adds the verdict over so many events to a line.
func (t *tally) addTo(l *line, events int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.Lost += events - t.n
	l.Repeated += t.repeated
	l.Reordered += t.reordered
}
