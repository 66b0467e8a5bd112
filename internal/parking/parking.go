// Package parking holds what the stores do alike with events that are set aside.
package parking

import "github.com/peatlog/peat/es"

// Waiting returns the streams of which events are to be set aside only because another
// one is parked: none of these events was handed over. Each stream comes once, in the
// order of the list.
func Waiting(park []es.Failure) []es.StreamID {
	failed := map[es.StreamID]bool{}
	for _, f := range park {
		failed[f.Stream] = failed[f.Stream] || f.Attempts > 0
	}
	var waiting []es.StreamID
	for _, f := range park {
		if !failed[f.Stream] {
			failed[f.Stream] = true // once
			waiting = append(waiting, f.Stream)
		}
	}
	return waiting
}
