package main

import "slices"

// tally checks deliveries: that of each stream every version comes, once, in order.
// It costs an event a few nanoseconds, so that it runs inside what is measured.
type tally struct {
	perStream int
	seen      []bool // stream by stream
	highest   []int  // version of each stream

	repeated, reordered int
}

// newTally expects the versions 1 to perStream of so many streams.
func newTally(streams, perStream int) *tally {
	return &tally{perStream: perStream, seen: make([]bool, streams*perStream), highest: make([]int, streams)}
}

// add takes note of a delivery. A version that nobody wrote counts as repeated.
func (t *tally) add(stream int, version int64) {
	v := int(version)
	if stream < 0 || stream >= len(t.highest) || v < 1 || v > t.perStream {
		t.repeated++
		return
	}
	i := stream*t.perStream + v - 1
	switch {
	case t.seen[i]:
		t.repeated++
	case v < t.highest[stream]:
		t.reordered++
	default:
		t.highest[stream] = v
	}
	t.seen[i] = true
}

// missing is how many never came.
func (t *tally) missing() int {
	n := 0
	for left := t.seen; ; n++ {
		i := slices.Index(left, false)
		if i < 0 {
			return n
		}
		left = left[i+1:]
	}
}

// addTo adds what was found to a line of the table.
func (t *tally) addTo(r *result) {
	r.Lost += t.missing()
	r.Repeated += t.repeated
	r.Reordered += t.reordered
}
