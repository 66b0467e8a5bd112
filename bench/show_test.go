package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var shown = []result{
	result{Name: "replay", Unit: "events/s", Ours: 1_500_000, Reference: 3_000_000, P50: 1, P99: 2, Max: 3}.judge(goal{ratio: new(0.85)}),
	result{Name: "wakes", Unit: "polls", Ours: 12, Lost: 1}.judge(goal{most: new(20.0)}),
	result{Name: "load-100", Unit: "ms", Ours: 0.25, Reference: 0.5}.judge(goal{}),
}

func TestMarkdownShowsWhatWasMeasured(t *testing.T) {
	t.Parallel()
	want := `| scenario | unit | ours | reference | ratio | goal | met | lost / repeated / reordered | p50 / p99 / max ms |
| --- | --- | --: | --: | --: | --- | --- | --- | --- |
| replay | events/s | 1,500,000 | 3,000,000 | 0.50 | ≥ 0.85× | **no** | 0 / 0 / 0 | 1.00 / 2.00 / 3.0 |
| wakes | polls | 12 | – | – | ≤ 20 polls | **no** | 1 / 0 / 0 | – |
| load-100 | ms | 0.25 | 0.5 | 0.50 | – | – | 0 / 0 / 0 | – |
`
	if diff := cmp.Diff(want, markdown(shown)); diff != "" {
		t.Error(diff)
	}
	want = `| scenario | unit | peat | other |
| --- | --- | --: | --: |
| append | appends/s | 2,000 | 1,000, **3 lost**, 0 repeated, 1 reordered |
| load | ms | 0.5 | – |
`
	peers := []result{
		{Name: "append/peat", Unit: "appends/s", Ours: 2000}, {Name: "append/other", Unit: "appends/s", Ours: 1000, Lost: 3, Reordered: 1},
		{Name: "load/peat", Unit: "ms", Ours: 0.5},
	}
	if diff := cmp.Diff(want, markdown(peers)); diff != "" {
		t.Error(diff)
	}
}

// A time that is half of the reference's is twice as fast; what is no speed is not drawn.
func TestChartDrawsSpeeds(t *testing.T) {
	t.Parallel()
	labels, names, values := bars(shown)
	if diff := cmp.Diff([]any{[]string{"load-100", "replay"}, []string{""}, [][]float64{{2, 0.5}}}, []any{labels, names, values}); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"c.svg", "c.png"} {
		path := filepath.Join(t.TempDir(), name)
		if err := chart(path, shown); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil || len(text) < 1000 || name == "c.svg" && !strings.Contains(string(text), "load-100") {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
	if err := chart(filepath.Join(t.TempDir(), "c.pdf"), shown); err == nil {
		t.Error("a format that nobody draws was accepted")
	}
}

func TestResultsAreReadAsWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "r.json")
	if err := writeJSON(path, shown); err != nil {
		t.Fatal(err)
	}
	got, err := readJSON(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(shown, got); diff != "" {
		t.Error(diff)
	}
}
