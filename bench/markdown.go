package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/dustin/go-humanize"
)

// markdown is the table of README.md: of the lines of several libraries, scenario/library,
// one row per scenario.
func markdown(results []result) string {
	if len(results) > 0 && strings.Contains(results[0].Name, "/") {
		return markdownPeers(results)
	}
	var b strings.Builder
	b.WriteString("| scenario | unit | ours | reference | ratio | goal | met | lost / repeated / reordered | p50 / p99 / max ms |\n")
	b.WriteString("| --- | --- | --: | --: | --: | --- | --- | --- | --- |\n")
	for _, r := range results {
		met := "–"
		if r.Met != nil {
			met = map[bool]string{true: "yes", false: "**no**"}[*r.Met]
		}
		times := "–"
		if r.Max > 0 {
			times = fmt.Sprintf("%.2f / %.2f / %.1f", r.P50, r.P99, r.Max)
		}
		reference := "–"
		if r.Reference > 0 {
			reference = grouped(r.Reference)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %d / %d / %d | %s |\n", r.Name, r.Unit, grouped(r.Ours), reference,
			orDash(r.Ratio), either(r.Goal), met, r.Lost, r.Repeated, r.Reordered, times)
	}
	return b.String()
}

// markdownPeers has a column per library.
func markdownPeers(results []result) string {
	var libraries, scenarios []string
	cells, units := map[string]string{}, map[string]string{}
	for _, r := range results {
		scenario, library, _ := strings.Cut(r.Name, "/")
		if _, ok := units[scenario]; !ok {
			units[scenario] = r.Unit
			scenarios = append(scenarios, scenario)
		}
		if !strings.Contains(strings.Join(libraries, "/")+"/", library+"/") {
			libraries = append(libraries, library)
		}
		cells[r.Name] = grouped(r.Ours)
		if r.Lost+r.Repeated+r.Reordered > 0 {
			cells[r.Name] += fmt.Sprintf(", **%d lost**, %d repeated, %d reordered", r.Lost, r.Repeated, r.Reordered)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| scenario | unit | %s |\n| --- | --- |%s\n", strings.Join(libraries, " | "), strings.Repeat(" --: |", len(libraries)))
	for _, s := range scenarios {
		fmt.Fprintf(&b, "| %s | %s |", s, units[s])
		for _, l := range libraries {
			fmt.Fprintf(&b, " %s |", either(cells[s+"/"+l]))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// either is the text, or a dash where there is none.
func either(text string) string {
	if text == "" {
		return "–"
	}
	return text
}

// grouped prints a figure, a large one with its thousands apart.
func grouped(x float64) string {
	if math.Abs(x) >= 1000 {
		return humanize.Comma(int64(math.Round(x)))
	}
	return figure(x)
}

// readJSON reads what --json has written.
func readJSON(path string) (results []result, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &results); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return results, nil
}
