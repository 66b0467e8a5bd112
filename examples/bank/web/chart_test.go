package web

import (
	"regexp"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/examples/bank/views"
)

var numbers = regexp.MustCompile(`([MHV])([-0-9.]+)(?: ([-0-9.]+))?`)

// Whatever the balances are, the line stays within the axes, and the zero line is on
// the drawing.
func TestAChartStaysWithinItsAxes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		balances := rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(-500_00, 500_00), rapid.Int64()), 2, 50).Draw(t, "balances")
		days := make([]views.Closing, len(balances))
		for i, b := range balances {
			days[i] = views.Closing{Day: account.Date("1993-01-" + strconv.Itoa(10+i)), Balance: money.Amount(b)}
		}
		c := newChart(days)
		if c.Zero < chartTop-1 || c.Zero > chartBottom+1 || len(c.Ticks) < 2 || len(c.Ticks) > 2*ticksUp {
			t.Fatalf("zero at %v, %d ticks", c.Zero, len(c.Ticks))
		}
		check := func(text string, low, high float64) {
			if v, err := strconv.ParseFloat(text, 64); err != nil || v < low-1 || v > high+1 {
				t.Fatalf("%s is not within %v and %v in %s", text, low, high, c.Line)
			}
		}
		for _, m := range numbers.FindAllStringSubmatch(c.Line, -1) {
			switch m[1] {
			case "M":
				check(m[2], chartLeft, chartRight)
				check(m[3], chartTop, chartBottom)
			case "H":
				check(m[2], chartLeft, chartRight)
			case "V":
				check(m[2], chartTop, chartBottom)
			}
		}
	})
}

func TestAChartNeedsTwoDays(t *testing.T) {
	t.Parallel()
	if c := newChart([]views.Closing{{Day: "1993-01-01", Balance: 1}}); c.Line != "" {
		t.Errorf("one day is drawn as %s", c.Line)
	}
}

func TestAmountsOfTheAxisAreRound(t *testing.T) {
	t.Parallel()
	c := newChart([]views.Closing{{Day: "1993-01-01", Balance: 700_00}, {Day: "1993-01-02", Balance: -298_70}})
	got := make([]string, len(c.Ticks))
	for i, tick := range c.Ticks {
		got[i] = tick.Label
	}
	if want := "[-500 0 500 1,000]"; "["+got[0]+" "+got[1]+" "+got[2]+" "+got[3]+"]" != want || len(got) != 4 {
		t.Errorf("the axis has %v, want %s", got, want)
	}
}
