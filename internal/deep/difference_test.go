package deep_test

import (
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/peatlog/peat/internal/deep"
)

type compared struct {
	A, B  *int
	List  []int
	Other []int
	Map   map[string]*compared
	Any   any
	At    time.Time
	Sum   big.Int
	f     float64
}

func TestDifferenceNamesThePlace(t *testing.T) {
	t.Parallel()
	one, same := 1, 1
	shared, list := &one, []int{1}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	for name, c := range map[string]struct {
		a, b compared
		want string
	}{
		"equal":                         {compared{A: &one, At: at, Sum: *big.NewInt(5)}, compared{A: &same, At: at.Round(0), Sum: *big.NewInt(5)}, ""},
		"a value behind a pointer":      {compared{A: &one}, compared{A: new(int)}, ".A"},
		"nil and empty":                 {compared{List: []int{}}, compared{}, ".List"},
		"nil and empty map":             {compared{Map: map[string]*compared{}}, compared{}, ".Map"},
		"an element":                    {compared{List: []int{1, 2}}, compared{List: []int{1, 3}}, ".List[1]"},
		"a length":                      {compared{List: []int{1, 2}}, compared{List: []int{1}}, ".List"},
		"a key":                         {compared{Map: map[string]*compared{"a": nil}}, compared{Map: map[string]*compared{"b": nil}}, ".Map[a]"},
		"deep in a map":                 {compared{Map: map[string]*compared{"a": {f: 1}}}, compared{Map: map[string]*compared{"a": {f: 2}}}, ".Map[a].f"},
		"another type behind any":       {compared{Any: int64(1)}, compared{Any: 1.0}, ".Any (int64, and then float64)"},
		"digits of a large number":      {compared{Any: int64(1)<<53 + 1}, compared{Any: int64(1) << 53}, ".Any"},
		"an offset":                     {compared{At: at}, compared{At: at.UTC()}, ".At"},
		"a big number":                  {compared{Sum: *big.NewInt(5)}, compared{Sum: *big.NewInt(6)}, ".Sum"},
		"a pointer shared by the one":   {compared{A: shared, B: shared}, compared{A: &one, B: &same}, ".B (what it shares"},
		"a pointer shared by the other": {compared{A: &one, B: &same}, compared{A: shared, B: shared}, ".B (what it shares"},
		"a slice shared by the one":     {compared{List: list, Other: list}, compared{List: []int{1}, Other: []int{1}}, ".Other (what it shares"},
		"not a number":                  {compared{f: math.NaN()}, compared{f: math.NaN()}, ".f"},
	} {
		got := deep.Difference(reflect.ValueOf(&c.a), reflect.ValueOf(&c.b))
		if !strings.HasPrefix(got, c.want) && !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	cyclic := func() *compared {
		c := &compared{Map: map[string]*compared{}}
		c.Map["self"] = c
		return c
	}
	a, b := cyclic(), cyclic()
	if d := deep.Difference(reflect.ValueOf(&a), reflect.ValueOf(&b)); d != "" {
		t.Errorf("two circles differ in %s", d)
	}
}

func TestFingerprintChangesWithTheType(t *testing.T) {
	t.Parallel()
	type before struct {
		Sum   int
		Items []struct{ N int }
	}
	type renamed struct { // only the name of the type
		Sum   int
		Items []struct{ N int }
	}
	if deep.Fingerprint(reflect.TypeFor[before]()) != deep.Fingerprint(reflect.TypeFor[renamed]()) {
		t.Error("the name of a type counts")
	}
	type loop struct{ Next *loop }
	type loops []loops
	types := []reflect.Type{
		reflect.TypeFor[before](), reflect.TypeFor[loop](), reflect.TypeFor[loops](), reflect.TypeFor[time.Time](),
		reflect.TypeFor[struct {
			Total int
			Items []struct{ N int }
		}](),
		reflect.TypeFor[struct {
			Sum   int64
			Items []struct{ N int }
		}](),
		reflect.TypeFor[struct {
			Sum   int
			Items []struct{ M int }
		}](),
		reflect.TypeFor[struct {
			Sum   int `json:"sum"`
			Items []struct{ N int }
		}](),
		reflect.TypeFor[struct {
			Items []struct{ N int }
			Sum   int
		}](),
		reflect.TypeFor[struct {
			Sum   int
			Items map[string]struct{ N int }
		}](),
	}
	seen := map[string]reflect.Type{}
	for _, typ := range types {
		f := deep.Fingerprint(typ)
		if other, ok := seen[f]; ok {
			t.Errorf("%v and %v have one fingerprint", typ, other)
		}
		seen[f] = typ
	}
}
