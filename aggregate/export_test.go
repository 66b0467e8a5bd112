package aggregate

import "github.com/peatlog/peat/es"

// Waiting returns how many calls of Execute wait on a stream.
func Waiting[A Aggregate[E], E es.Event](r *Repository[A, E], stream es.StreamID) int {
	r.lines.mu.Lock()
	defer r.lines.mu.Unlock()
	if l, ok := r.lines.active[stream]; ok {
		return l.queue.Waiting()
	}
	return 0
}

// Lines returns how many lines there are, in use and kept.
func Lines[A Aggregate[E], E es.Event](r *Repository[A, E]) (active, kept int) {
	r.lines.mu.Lock()
	defer r.lines.mu.Unlock()
	return len(r.lines.active), r.lines.kept.Len()
}

// Form returns the fingerprint that the definition's snapshots carry.
func Form[A Aggregate[E], E es.Event](def *Definition[A, E]) string { return def.form }
