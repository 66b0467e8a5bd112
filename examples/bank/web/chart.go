package web

import (
	"fmt"
	"math"
	"strings"

	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/examples/bank/views"
)

// The size of a chart, in the units of its own drawing.
const (
	chartWidth, chartHeight        = 720, 240
	chartLeft, chartRight          = 84, 708
	chartTop, chartBottom, ticksUp = 14, 206, 4
)

// chart is the balance over time, ready to be drawn: a step for each day on which
// something moved, evenly spaced, because most days are quiet.
type chart struct {
	Line, Area string
	Ticks      []tick
	Days       []dayMark
	// Zero is the height of the zero line, From and To what the drawing spans.
	Zero     float64
	From, To views.Closing
	Low      money.Amount
	High     money.Amount
}

type tick struct {
	Y     float64
	Label string
}

type dayMark struct {
	X      float64
	Label  string
	Anchor string
}

// newChart draws at least two days; of fewer there is nothing to see, and the chart
// is the zero value.
func newChart(days []views.Closing) (c chart) {
	if len(days) < 2 {
		return c
	}
	c.From, c.To = days[0], days[len(days)-1]
	c.Low, c.High = c.From.Balance, c.From.Balance
	for _, d := range days {
		c.Low, c.High = min(c.Low, d.Balance), max(c.High, d.Balance)
	}
	low, high, step := scale(float64(min(c.Low, 0)), float64(max(c.High, 0)))
	y := func(v float64) float64 { return chartBottom - (v-low)/(high-low)*(chartBottom-chartTop) }
	x := func(i int) float64 {
		return chartLeft + float64(i)*(chartRight-chartLeft)/float64(len(days)-1)
	}
	var line strings.Builder
	fmt.Fprintf(&line, "M%.1f %.1f", x(0), y(float64(days[0].Balance)))
	for i, d := range days[1:] {
		fmt.Fprintf(&line, "H%.1fV%.1f", x(i+1), y(float64(d.Balance)))
	}
	c.Zero = y(0)
	c.Line = line.String()
	c.Area = fmt.Sprintf("%sV%.1fH%.1fZ", c.Line, c.Zero, x(0))
	for v := low; v <= high+step/2; v += step {
		c.Ticks = append(c.Ticks, tick{y(v), axis(v)})
	}
	for _, m := range []struct {
		i      int
		anchor string
	}{{0, "start"}, {(len(days) - 1) / 2, "middle"}, {len(days) - 1, "end"}} {
		if m.anchor == "middle" && len(days) < 5 {
			continue
		}
		c.Days = append(c.Days, dayMark{x(m.i), string(days[m.i].Day), m.anchor})
	}
	return c
}

// scale widens a range to whole steps of 1, 2 or 5 times a power of ten.
func scale(low, high float64) (from, to, step float64) {
	raw := max(high-low, 100) / ticksUp
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	step = 10 * power
	for _, m := range []float64{1, 2, 5} {
		if m*power >= raw {
			step = m * power
			break
		}
	}
	from, to = math.Floor(low/step)*step, math.Ceil(high/step)*step
	if from == to {
		to += step
	}
	return from, to, step
}

// axis prints an amount of hellers at the axis, without decimals where there are none.
func axis(hellers float64) string {
	return strings.TrimSuffix(money.Amount(math.Round(hellers)).Grouped(), ".00")
}
