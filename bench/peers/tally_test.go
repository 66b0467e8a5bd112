package main

import "testing"

func TestTallyTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	type event struct {
		stream int
		seq    int64
	}
	for name, c := range map[string]struct {
		got                       []event
		lost, repeated, reordered int
	}{
		"all in order":         {[]event{{0, 1}, {1, 1}, {0, 2}, {1, 2}}, 0, 0, 0},
		"nothing":              {nil, 4, 0, 0},
		"one never comes":      {[]event{{0, 1}, {1, 1}, {1, 2}}, 1, 0, 0},
		"one comes twice":      {[]event{{0, 1}, {0, 1}, {0, 2}, {1, 1}, {1, 2}}, 0, 1, 0},
		"an old one again":     {[]event{{0, 1}, {0, 2}, {0, 1}, {1, 1}, {1, 2}}, 0, 1, 0},
		"behind its successor": {[]event{{0, 2}, {0, 1}, {1, 1}, {1, 2}}, 0, 0, 1},
	} {
		tally := newTally()
		for _, e := range c.got {
			tally.add(payment(e.stream, e.seq))
		}
		var l line
		tally.addTo(&l, 4)
		if l.Lost != c.lost || l.Repeated != c.repeated || l.Reordered != c.reordered {
			t.Errorf("%s: lost %d, repeated %d, reordered %d; want %d, %d, %d", name, l.Lost, l.Repeated, l.Reordered, c.lost, c.repeated, c.reordered)
		}
	}
}
