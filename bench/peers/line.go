package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"time"
)

// line is one library's figure of a scenario, with the columns of the bench's results.
// Ours is the library's own figure, the reference peat's in the same rounds.
type line struct {
	Name      string  `json:"name"` // scenario/library
	Unit      string  `json:"unit"`
	Ours      float64 `json:"ours"`
	Reference float64 `json:"reference"`
	Ratio     float64 `json:"ratio"`
	Goal      string  `json:"goal"`
	Met       *bool   `json:"met"`
	Lost      int     `json:"lost"`
	Repeated  int     `json:"repeated"`
	Reordered int     `json:"reordered"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
}

// timed fills the percentiles.
func (l line) timed(times []time.Duration) line {
	slices.Sort(times)
	at := func(p float64) float64 {
		if len(times) == 0 {
			return 0
		}
		return float64(times[max(int(math.Ceil(p*float64(len(times))))-1, 0)]) / float64(time.Millisecond)
	}
	l.P50, l.P99, l.Max = at(0.50), at(0.99), at(1)
	return l
}

// median of figures, of which there is at least one.
func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func writeJSON(path string, lines []line) error {
	text, err := json.MarshalIndent(lines, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func printLine(l line) {
	fmt.Printf("%-28s %12.6g %-10s %6.2f of peat   lost %d, repeated %d, reordered %d   p50 %.2f ms, p99 %.2f ms\n",
		l.Name, l.Ours, l.Unit, l.Ratio, l.Lost, l.Repeated, l.Reordered, l.P50, l.P99)
}
