//go:build unix

package main

import (
	"context"
	"math"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/pgtest"
	"github.com/peatlog/peat/subscribe"
)

// The scenarios with several processes run this program again.
func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	os.Exit(m.Run())
}

type delivery struct {
	stream  int
	version int64
}

func TestTallyTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	type verdict struct{ Lost, Repeated, Reordered int }
	for name, c := range map[string]struct {
		got  []delivery
		want verdict
	}{
		"all in order":                   {[]delivery{{0, 1}, {1, 1}, {0, 2}, {1, 2}}, verdict{}},
		"streams in any order":           {[]delivery{{1, 1}, {1, 2}, {0, 1}, {0, 2}}, verdict{}},
		"nothing":                        {nil, verdict{Lost: 4}},
		"one never comes":                {[]delivery{{0, 1}, {1, 1}, {1, 2}}, verdict{Lost: 1}},
		"one comes twice":                {[]delivery{{0, 1}, {0, 1}, {0, 2}, {1, 1}, {1, 2}}, verdict{Repeated: 1}},
		"one comes three times":          {[]delivery{{0, 1}, {0, 1}, {0, 1}, {0, 2}, {1, 1}, {1, 2}}, verdict{Repeated: 2}},
		"an old one comes again":         {[]delivery{{0, 1}, {0, 2}, {0, 1}, {1, 1}, {1, 2}}, verdict{Repeated: 1}},
		"one comes behind its successor": {[]delivery{{0, 2}, {0, 1}, {1, 1}, {1, 2}}, verdict{Reordered: 1}},
		"a version that nobody wrote":    {[]delivery{{0, 0}, {0, 1}, {0, 2}, {1, 1}, {1, 2}, {1, 3}}, verdict{Repeated: 2}},
		"a stream that nobody wrote":     {[]delivery{{-1, 1}, {0, 1}, {0, 2}, {1, 1}, {1, 2}, {2, 1}}, verdict{Repeated: 2}},
	} {
		tally := newTally(2, 2)
		for _, d := range c.got {
			tally.add(d.stream, d.version)
		}
		var r result
		tally.addTo(&r)
		if diff := cmp.Diff(c.want, verdict{r.Lost, r.Repeated, r.Reordered}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestPercentileIsOneOfTheTimes(t *testing.T) {
	t.Parallel()
	times := []time.Duration{40 * time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond, 20 * time.Millisecond}
	for p, want := range map[float64]float64{0.01: 10, 0.25: 10, 0.26: 20, 0.50: 20, 0.75: 30, 0.99: 40, 1: 40} {
		if got := percentile(times, p); got != want {
			t.Errorf("percentile %v: %v, want %v", p, got, want)
		}
	}
	if times[0] != 40*time.Millisecond {
		t.Error("percentile has sorted the caller's times")
	}
	if got := percentile(nil, 0.5); got != 0 {
		t.Errorf("of no times: %v", got)
	}
}

func TestMedianOfAnEvenNumberIsBetween(t *testing.T) {
	t.Parallel()
	for want, figures := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 3, 2}, 7: {7}} {
		if got := median(figures); got != want {
			t.Errorf("median of %v: %v, want %v", figures, got, want)
		}
	}
}

func TestGoalIsMetWhenAllOfItIs(t *testing.T) {
	t.Parallel()
	good := result{Unit: "ms", Ours: 2, Reference: 1, P99: 3, Max: 4}
	with := func(change func(r *result)) result { r := good; change(&r); return r }
	for name, c := range map[string]struct {
		r    result
		g    goal
		text string
		met  *bool
	}{
		"no goal":                {good, goal{}, "", nil},
		"at least":               {good, goal{least: new(2.0)}, "≥ 2 ms", new(true)},
		"not at least":           {good, goal{least: new(2.1)}, "≥ 2 ms", new(false)},
		"at most":                {good, goal{most: new(2.0)}, "≤ 2 ms", new(true)},
		"not at most":            {good, goal{most: new(1.9)}, "≤ 1.9 ms", new(false)},
		"ratio":                  {good, goal{ratio: new(2.0)}, "≥ 2×", new(true)},
		"not the ratio":          {good, goal{ratio: new(2.1)}, "≥ 2.1×", new(false)},
		"a ratio at most":        {good, goal{mostRatio: new(2.0)}, "≤ 2×", new(true)},
		"above the ratio":        {good, goal{mostRatio: new(1.9)}, "≤ 1.9×", new(false)},
		"percentiles":            {good, goal{p99: new(3.0), max: new(4.0)}, "p99 ≤ 3 ms, max ≤ 4 ms", new(true)},
		"not the 99th":           {good, goal{p99: new(2.9), max: new(4.0)}, "p99 ≤ 2.9 ms, max ≤ 4 ms", new(false)},
		"not the worst":          {good, goal{p99: new(3.0), max: new(3.9)}, "p99 ≤ 3 ms, max ≤ 3.9 ms", new(false)},
		"the first of two fails": {good, goal{least: new(3.0), most: new(3.0)}, "≥ 3 ms, ≤ 3 ms", new(false)},
		"clean":                  {good, goal{clean: true}, "0 / 0 / 0", new(true)},
		"not clean":              {with(func(r *result) { r.Reordered = 1 }), goal{clean: true}, "0 / 0 / 0", new(false)},
		"lost":                   {with(func(r *result) { r.Lost = 1 }), goal{most: new(2.0)}, "≤ 2 ms", new(false)},
		"repeated":               {with(func(r *result) { r.Repeated = 1 }), goal{most: new(2.0)}, "≤ 2 ms", new(false)},
		"reordered":              {with(func(r *result) { r.Reordered = 1 }), goal{most: new(2.0)}, "≤ 2 ms", new(false)},
		"lost without a goal":    {with(func(r *result) { r.Lost = 1 }), goal{}, "", nil},
	} {
		got := c.r.judge(c.g)
		if got.Goal != c.text || !cmp.Equal(c.met, got.Met) {
			t.Errorf("%s: goal %q, met %v; want %q, %v", name, got.Goal, show(got.Met), c.text, show(c.met))
		}
		if got.Ratio != 2 {
			t.Errorf("%s: ratio %v, want 2", name, got.Ratio)
		}
	}
	if got := (result{Ours: 2}).judge(goal{}); math.IsInf(got.Ratio, 0) || got.Ratio != 0 {
		t.Errorf("without a reference: ratio %v, want 0", got.Ratio)
	}
}

func show(met *bool) string {
	if met == nil {
		return "nil"
	}
	return map[bool]string{true: "true", false: "false"}[*met]
}

func TestDeliveredTellsOnceAtTheLastEvent(t *testing.T) {
	t.Parallel()
	d := newDelivered(5)
	then := 0
	d.then = func() { then++ }
	for i, handled := range []int{3, 0, 1, 1, 0, 2} {
		_, done := d.TraceHandle(t.Context(), subscribe.Handling{})
		done(handled, nil)
		told := false
		select {
		case <-d.all:
			told = true
		default:
		}
		if want := i >= 3; told != want {
			t.Errorf("after handing over %d times: told %v, want %v", i+1, told, want)
		}
	}
	if then != 1 {
		t.Errorf("then was called %d times", then)
	}
}

func newTestBed(t *testing.T) *bed {
	t.Helper()
	b, err := newBed(t.Context(), pgtest.Server(t).URL(), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return b
}

// The verdict of the projections can fail.
func TestBalancesAreComparedWithTheLog(t *testing.T) {
	t.Parallel()
	b := newTestBed(t)
	if err := b.fill(t.Context(), 4, 3); err != nil {
		t.Fatal(err)
	}
	exec := func(sql string) {
		t.Helper()
		if _, err := b.pool.Exec(t.Context(), b.inSchema(sql)); err != nil {
			t.Fatal(err)
		}
	}
	exec(createBalances)
	compare := func(what string, lost, repeated int, wrong bool) {
		t.Helper()
		var r result
		err := b.compareBalances(t.Context(), &r)
		if r.Lost != lost || r.Repeated != repeated || (err != nil) != wrong {
			t.Errorf("%s: %d lost, %d repeated, %v; want %d, %d, error %v", what, r.Lost, r.Repeated, err, lost, repeated, wrong)
		}
	}
	compare("nothing was handled", 12, 0, false)
	exec("INSERT INTO {schema}.balances SELECT n, 3, 621 FROM generate_series(0, 3) n") // 107 + 207 + 307
	compare("all was handled once", 0, 0, false)
	exec("UPDATE {schema}.balances SET events = 1 WHERE stream = 1")
	exec("UPDATE {schema}.balances SET events = 4 WHERE stream = 2")
	exec("INSERT INTO {schema}.balances VALUES (9, 5, 0)")
	compare("two missing, one twice, five of nobody", 2, 6, false)
	exec("UPDATE {schema}.balances SET cents = 0 WHERE stream = 3")
	compare("a wrong sum", 0, 0, true)
}

// The verdict of the loads can fail.
func TestAccountTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		got            []int64
		lost, repeated int
	}{
		"all in order":          {[]int64{1, 2, 3}, 0, 0},
		"nothing":               {nil, 3, 0},
		"the last is missing":   {[]int64{1, 2}, 1, 0},
		"one in the middle is":  {[]int64{1, 3}, 1, 0},
		"one comes twice":       {[]int64{1, 2, 2, 3}, 0, 1},
		"two change places":     {[]int64{2, 1, 3}, 1, 1},
		"one that nobody wrote": {[]int64{0, 1, 2, 3}, 0, 1},
	} {
		var a account
		for _, seq := range c.got {
			a.Apply(paid{Seq: seq})
		}
		var r result
		a.addTo(&r, 3)
		if r.Lost != c.lost || r.Repeated != c.repeated {
			t.Errorf("%s: %d lost, %d repeated; want %d, %d", name, r.Lost, r.Repeated, c.lost, c.repeated)
		}
	}
}

// So can that of the writers, and of a poll at the end of a log.
func TestLogIsComparedWithWhatWasAppended(t *testing.T) {
	t.Parallel()
	b := newTestBed(t)
	if err := b.fill(t.Context(), 4, 3); err != nil {
		t.Fatal(err)
	}
	compare := func(what string, perStream, lost, repeated int) {
		t.Helper()
		var r result
		if err := b.compareLog(t.Context(), 4, perStream, &r); err != nil || r.Lost != lost || r.Repeated != repeated {
			t.Errorf("%s: %d lost, %d repeated, %v; want %d, %d", what, r.Lost, r.Repeated, err, lost, repeated)
		}
	}
	compare("what was appended", 3, 0, 0)
	compare("more was", 4, 4, 0)
	compare("less was", 2, 0, 4)
	if _, err := b.pool.Exec(t.Context(), b.inSchema("DELETE FROM {schema}.events WHERE stream_version = 2 AND stream_id = 'bench-1'")); err != nil {
		t.Fatal(err)
	}
	compare("one is gone", 3, 1, 0)

	var tail tail
	tail.check([]es.Recorded{{Position: 7}}, 7)
	if tail.wrong != (result{}) {
		t.Errorf("a poll that found its event: %+v", tail.wrong)
	}
	tail.check(nil, 8)
	tail.check([]es.Recorded{{Position: 8}, {Position: 9}}, 9)
	tail.check([]es.Recorded{{Position: 9}}, 10)
	if tail.wrong.Lost != 2 || tail.wrong.Repeated != 2 {
		t.Errorf("lost %d, repeated %d; want 2, 2", tail.wrong.Lost, tail.wrong.Repeated)
	}
}

// The scenarios that need no more than moments, to their ends.
func TestScenariosRun(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(ctx context.Context, b *bed) ([]result, error){
		"writers": writers, "load": loads{events: 10, goroutines: 4}.run, "sqlite": onFile(sqliteAppend(4)), "sqlite projection": onFile(sqliteProject),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			results, err := run(t.Context(), newTestBed(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if r.Ours <= 0 || r.Max < r.P50 || r.Lost+r.Repeated+r.Reordered > 0 {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

// The processes, their reports and the verdict over both.
func TestTakeoverIsMeasured(t *testing.T) {
	t.Parallel()
	results, err := failover{"failover", patience, syscall.SIGKILL}.run(t.Context(), newTestBed(t))
	if err != nil {
		t.Fatal(err)
	}
	if r := results[0]; !*r.Met || r.Ours <= 0 || r.Max < r.P50 || r.Goal != "max ≤ 120000 ms" {
		t.Errorf("%+v", r)
	}
}

func TestScenariosAreChosenByName(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		named, err := choose(s.name)
		if err != nil || len(named) != 1 || named[0].name != s.name {
			t.Errorf("--only %s: %d scenarios, %v", s.name, len(named), err)
		}
	}
	if all, err := choose(""); err != nil || len(all) != len(scenarios) {
		t.Errorf("%d of %d, %v", len(all), len(scenarios), err)
	}
	if _, err := choose("no such"); err == nil {
		t.Error("a scenario that is not there was chosen")
	}
}
