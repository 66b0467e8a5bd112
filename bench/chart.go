package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-analyze/charts"
)

// chart draws how fast each line is against its reference; lines without one are left
// out. The format follows from the file's name, .svg or .png.
func chart(path string, results []result) error {
	format := strings.TrimPrefix(filepath.Ext(path), ".")
	if format != charts.ChartOutputSVG && format != charts.ChartOutputPNG {
		return fmt.Errorf("chart %s: the name must end in .svg or .png", path)
	}
	labels, names, values := bars(results)
	if len(labels) == 0 {
		return fmt.Errorf("chart %s: no line has a reference", path)
	}
	const lineHeight, frame = 22, 110
	p := charts.NewPainter(charts.PainterOptions{
		OutputFormat: format, Width: 900, Height: len(labels)*max(len(names)*lineHeight*3/4, lineHeight) + frame,
	})
	if err := p.BarChart(barChart(labels, names, values)); err != nil {
		return fmt.Errorf("chart %s: %w", path, err)
	}
	picture, err := p.Bytes()
	if err != nil {
		return fmt.Errorf("chart %s: %w", path, err)
	}
	return os.WriteFile(path, picture, 0o644)
}

func barChart(labels, names []string, values [][]float64) charts.BarChartOption {
	opt := charts.NewBarChartOptionWithData(values)
	opt.Horizontal = true
	opt.Padding = charts.NewBox(15, 15, 60, 10)
	opt.Title.Text = "Speed against the reference, which is 1×"
	if len(names) > 1 {
		opt.Title.Text = "Speed against peat, which is 1×"
		opt.Legend.SeriesNames = names
		opt.Legend.Offset = charts.OffsetRight
	}
	opt.CategoryAxis.Labels = labels
	opt.CategoryAxis.LabelCount = len(labels)
	opt.ValueAxis = []charts.ValueAxisOption{{
		Min: charts.Ptr(0.0), Unit: 1, SplitLineShow: charts.Ptr(true),
		ValueFormatter: func(x float64) string { return fmt.Sprintf("%g×", x) },
	}}
	for i := range opt.SeriesList {
		opt.SeriesList[i].Label.Show = charts.Ptr(true)
		opt.SeriesList[i].Label.ValueFormatter = func(x float64) string { return fmt.Sprintf("%.2f×", x) }
	}
	return opt
}

// bars are the values of the chart, a series after the other. Of the lines of several
// libraries, scenario/library, each library is a series; of others there is one. The first
// label is at the bottom, as the chart counts.
func bars(results []result) (labels, names []string, values [][]float64) {
	places, series := map[string]int{}, map[string]int{}
	for _, r := range results {
		scenario, library, _ := strings.Cut(r.Name, "/")
		if _, ok := r.speed(); !ok {
			continue
		}
		if _, ok := places[scenario]; !ok {
			places[scenario] = 0
			labels = append(labels, scenario)
		}
		if _, ok := series[library]; !ok {
			series[library] = 0
			names = append(names, library)
		}
	}
	slices.Reverse(labels)
	for i, label := range labels {
		places[label] = i
	}
	for i, name := range names {
		series[name] = i
		values = append(values, make([]float64, len(labels)))
		for j := range labels {
			values[i][j] = charts.GetNullValue()
		}
	}
	for _, r := range results {
		scenario, library, _ := strings.Cut(r.Name, "/")
		if x, ok := r.speed(); ok {
			values[series[library]][places[scenario]] = math.Round(100*x) / 100
		}
	}
	return labels, names, values
}

// speed is how many times as fast as the reference a line is; there is none for what is
// no speed.
func (r result) speed() (float64, bool) {
	switch {
	case r.Ours == 0 || r.Reference == 0:
		return 0, false
	case strings.HasSuffix(r.Unit, "/s"):
		return r.Ours / r.Reference, true
	case r.Unit == "ms":
		return r.Reference / r.Ours, true
	default:
		return 0, false
	}
}
