package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// result is one line of the table.
type result struct {
	Name      string  `json:"name"`
	Unit      string  `json:"unit"`
	Ours      float64 `json:"ours"`
	Reference float64 `json:"reference"`
	Ratio     float64 `json:"ratio"` // of the medians; 0 where the reference is 0
	Goal      string  `json:"goal"`
	Met       *bool   `json:"met"` // nil without a goal
	Lost      int     `json:"lost"`
	Repeated  int     `json:"repeated"`
	Reordered int     `json:"reordered"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
}

// goal is what a line asks for; fields that are nil ask for nothing.
type goal struct {
	ratio     *float64 // at least
	mostRatio *float64
	least     *float64 // of ours, in the line's unit
	most      *float64
	p99       *float64 // at most, in milliseconds
	max       *float64
	clean     bool // nothing lost, repeated or reordered, if there is no other goal
}

// judge fills the columns that follow from the others. A line that lost, repeated
// or reordered an event meets no goal.
func (r result) judge(g goal) result {
	if r.Reference != 0 {
		r.Ratio = r.Ours / r.Reference
	}
	met := r.Lost == 0 && r.Repeated == 0 && r.Reordered == 0
	var texts []string
	ask := func(limit *float64, ok func(limit float64) bool, format string) {
		if limit != nil {
			texts = append(texts, fmt.Sprintf(format, *limit))
			met = met && ok(*limit)
		}
	}
	ask(g.ratio, func(l float64) bool { return r.Ratio >= l }, "≥ %g×")
	ask(g.mostRatio, func(l float64) bool { return r.Ratio <= l }, "≤ %g×")
	ask(g.least, func(l float64) bool { return r.Ours >= l }, "≥ %.0f "+r.Unit)
	ask(g.most, func(l float64) bool { return r.Ours <= l }, "≤ %g "+r.Unit)
	ask(g.p99, func(l float64) bool { return r.P99 <= l }, "p99 ≤ %g ms")
	ask(g.max, func(l float64) bool { return r.Max <= l }, "max ≤ %g ms")
	if g.clean {
		texts = append(texts, "0 / 0 / 0")
	}
	if r.Goal = strings.Join(texts, ", "); r.Goal != "" {
		r.Met = &met
	}
	return r
}

// timed fills the percentiles.
func (r result) timed(times []time.Duration) result {
	r.P50, r.P99, r.Max = percentile(times, 0.50), percentile(times, 0.99), percentile(times, 1)
	return r
}

// median of figures, of which there is at least one.
func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// percentile returns the smallest of the times that the share p of them does not
// exceed, in milliseconds; 0 of no times.
func percentile(times []time.Duration, p float64) float64 {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	i := int(math.Ceil(p*float64(len(sorted)))) - 1
	return float64(sorted[max(i, 0)]) / float64(time.Millisecond)
}

func table(results []result) string {
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "name\tunit\tours\treference\tratio\tgoal\tmet\tlost\trepeated\treordered\tp50 ms\tp99 ms\tmax ms")
	for _, r := range results {
		met := "–"
		if r.Met != nil {
			met = map[bool]string{true: "yes", false: "NO"}[*r.Met]
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", r.Name, r.Unit, figure(r.Ours), figure(r.Reference),
			orDash(r.Ratio), r.Goal, met, r.Lost, r.Repeated, r.Reordered, orDash(r.P50), orDash(r.P99), orDash(r.Max))
	}
	_ = w.Flush() // into memory
	return out.String()
}

// orDash prints what is 0 only where it was not measured.
func orDash(x float64) string {
	if x == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", x)
}

// figure prints large numbers whole and small ones to the third digit.
func figure(x float64) string {
	if math.Abs(x) >= 100 {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.3g", x)
}

func writeJSON(path string, results []result) error {
	text, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
