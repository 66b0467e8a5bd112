package money_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/peatlog/peat/examples/bank/money"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]money.Amount{
		"0":                     0,
		"0.00":                  0,
		"-0.00":                 0,
		"700":                   70000,
		"700.5":                 70050,
		"1234.56":               123456,
		"-1234.56":              -123456,
		"-0.05":                 -5,
		"007.10":                710,
		"92233720368547758.07":  math.MaxInt64,
		"-92233720368547758.08": math.MinInt64,
	} {
		if got, err := money.Parse(text); err != nil || got != want {
			t.Errorf("Parse(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"":                      money.ErrSyntax,
		"-":                     money.ErrSyntax,
		".":                     money.ErrSyntax,
		"5.":                    money.ErrSyntax,
		".50":                   money.ErrSyntax,
		"1.234":                 money.ErrSyntax,
		"+5":                    money.ErrSyntax,
		"--5":                   money.ErrSyntax,
		"1.-5":                  money.ErrSyntax,
		"1,234.00":              money.ErrSyntax,
		"1e3":                   money.ErrSyntax,
		"5\t":                   money.ErrSyntax,
		"٣":                     money.ErrSyntax,
		"NaN":                   money.ErrSyntax,
		"92233720368547758.08":  money.ErrRange,
		"-92233720368547758.09": money.ErrRange,
		"1000000000000000000":   money.ErrRange,
	} {
		if got, err := money.Parse(text); !errors.Is(err, want) {
			t.Errorf("Parse(%q) = %d, %v; want the error %v", text, got, err, want)
		}
	}
}

func TestStringIsReadBackExactly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := money.Amount(rapid.Int64().Draw(t, "amount"))
		if got, err := money.Parse(a.String()); err != nil || got != a {
			t.Fatalf("Parse(%q) = %d, %v; want %d", a.String(), got, err, a)
		}
	})
}

func TestAddIsExactOrRefused(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Int64().Draw(t, "a")
		b := rapid.Int64().Draw(t, "b")
		want := new(big.Int).Add(big.NewInt(a), big.NewInt(b))
		got, err := money.Amount(a).Add(money.Amount(b))
		switch {
		case want.IsInt64() && (err != nil || int64(got) != want.Int64()):
			t.Fatalf("%d + %d = %d, %v; want %v", a, b, got, err, want)
		case !want.IsInt64() && !errors.Is(err, money.ErrRange):
			t.Fatalf("%d + %d = %d, %v; want the error %v", a, b, got, err, money.ErrRange)
		}
	})
}

func TestAbs(t *testing.T) {
	t.Parallel()
	for a, want := range map[money.Amount]money.Amount{0: 0, 5: 5, -5: 5, math.MinInt64: money.Max} {
		if got := a.Abs(); got != want {
			t.Errorf("Abs of %d = %d, want %d", a, got, want)
		}
	}
}

func TestJSONIsAnInteger(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(money.Max)
	if err != nil || string(data) != "9223372036854775807" {
		t.Errorf("Marshal = %s, %v", data, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"1234.56", "-0.05", "1.234", "92233720368547758.08", ".", "-"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := money.Parse(text)
		if err != nil {
			return
		}
		if again, err := money.Parse(a.String()); err != nil || again != a {
			t.Errorf("Parse(%q) = %d, but its text %q is read as %d, %v", text, a, a.String(), again, err)
		}
	})
}
