package aggregatetest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/aggregate/aggregatetest"
	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
)

type event interface {
	es.Event
	isEvent()
}

type added struct{ N int }
type forgetful struct{ n int }
type foreign struct{}

func (added) EventType() string     { return "sum.added" }
func (added) isEvent()              {}
func (forgetful) EventType() string { return "sum.forgetful" }
func (forgetful) isEvent()          {}

// Its own methods lose what it holds, which no look at the type can tell.
func (forgetful) MarshalText() ([]byte, error) { return []byte("forgotten"), nil }
func (*forgetful) UnmarshalText([]byte) error  { return nil }
func (foreign) EventType() string              { return "sum.foreign" }
func (foreign) isEvent()                       {}

type sum struct{ total int }

func (s *sum) Apply(e event) {
	if e, ok := e.(added); ok {
		s.total += e.N
	}
}

var errNegative = errors.New("negative")

func (s *sum) add(n int) ([]event, error) {
	if n < 0 {
		return nil, errNegative
	}
	return []event{added{n}}, nil
}

var sums = aggregate.Define("sum", codec.NewUnion(
	codec.Case(func(e added) event { return e }),
	codec.Case(func(e forgetful) event { return e }),
), func() *sum { return new(sum) })

func TestScenarioPassesWhatIsAsWanted(t *testing.T) {
	t.Parallel()
	state := aggregatetest.For(t, sums).Given(added{1}, added{2}).
		When(func(s *sum) ([]event, error) { return s.add(s.total) }).
		Then(added{3})
	if state.total != 6 {
		t.Errorf("total %d after the events, want 6", state.total)
	}
	aggregatetest.For(t, sums).
		When(func(s *sum) ([]event, error) { return s.add(-1) }).
		ThenError(errNegative)
	aggregatetest.For(t, sums).
		When(func(*sum) ([]event, error) { return nil, nil }).
		Then()
	limited := aggregatetest.For(t, sums).When(func(*sum) ([]event, error) { return nil, fmt.Errorf("add: %w", &limitError{Limit: 5}) })
	limited.ThenError(&limitError{Limit: 5})
	aggregatetest.ThenErrorAs(limited, func(e *limitError) bool { return e.Limit == 5 })
}

type limitError struct{ Limit int }

func (e *limitError) Error() string { return fmt.Sprintf("over the limit of %d", e.Limit) }

// recorder is a testing.TB that notes failures instead of failing.
type recorder struct {
	testing.TB
	failures strings.Builder
}

type fatal struct{}

func (*recorder) Helper()                     {}
func (r *recorder) Errorf(f string, a ...any) { fmt.Fprintf(&r.failures, f+"\n", a...) }
func (r *recorder) Fatalf(f string, a ...any) { r.Errorf(f, a...); panic(fatal{}) }
func (r *recorder) Fatal(a ...any)            { r.Errorf("%s", fmt.Sprint(a...)); panic(fatal{}) }

func TestScenarioFailsOn(t *testing.T) {
	t.Parallel()
	addOne := func(s *sum) ([]event, error) { return s.add(1) }
	for name, c := range map[string]struct {
		run  func(t testing.TB)
		want string
	}{
		"other events": {func(t testing.TB) { aggregatetest.For(t, sums).When(addOne).Then(added{2}) }, "N: 2"},
		"no events":    {func(t testing.TB) { aggregatetest.For(t, sums).When(addOne).Then() }, "(-want +got)"},
		"a refusal": {func(t testing.TB) {
			aggregatetest.For(t, sums).When(func(s *sum) ([]event, error) { return s.add(-1) }).Then(added{-1})
		}, "refused: negative"},
		"no refusal": {func(t testing.TB) { aggregatetest.For(t, sums).When(addOne).ThenError(errNegative) }, "got error <nil>, want negative"},
		"an error of the type with other fields": {func(t testing.TB) {
			aggregatetest.For(t, sums).When(func(*sum) ([]event, error) { return nil, &limitError{5} }).ThenError(&limitError{6})
		}, "got error over the limit of 5, want over the limit of 6"},
		"an error of another type": {func(t testing.TB) {
			aggregatetest.ThenErrorAs(aggregatetest.For(t, sums).When(func(*sum) ([]event, error) { return nil, errNegative }), func(*limitError) bool { return true })
		}, "got error negative, want one of type *aggregatetest_test.limitError"},
		"an error of the type that is not as it should be": {func(t testing.TB) {
			aggregatetest.ThenErrorAs(aggregatetest.For(t, sums).When(func(*sum) ([]event, error) { return nil, &limitError{5} }), func(e *limitError) bool { return e.Limit == 6 })
		}, "which is not as it should be"},
		"events beside an error": {func(t testing.TB) {
			aggregatetest.For(t, sums).When(func(*sum) ([]event, error) { return []event{added{1}}, errNegative }).ThenError(errNegative)
		}, "answered 1 events all the same"},
		"a decision that changes the state": {func(t testing.TB) {
			aggregatetest.For(t, sums).When(func(s *sum) ([]event, error) { s.total++; return nil, nil }).Then()
		}, "changed the state"},
		"an event outside the union":          {func(t testing.TB) { aggregatetest.For(t, sums).Given(foreign{}) }, "cannot be stored"},
		"an event that storing does not keep": {func(t testing.TB) { aggregatetest.For(t, sums).Given(forgetful{n: 1}) }, "does not survive storing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{TB: t}
			func() {
				defer func() {
					if p := recover(); p != nil && p != (fatal{}) {
						panic(p)
					}
				}()
				c.run(r)
			}()
			// cmp separates with non-breaking spaces at random.
			got := strings.ReplaceAll(r.failures.String(), "\u00a0", " ")
			for strings.Contains(got, "  ") {
				got = strings.ReplaceAll(got, "  ", " ")
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("failures %q, want %q in them", got, c.want)
			}
		})
	}
}
