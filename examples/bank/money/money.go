// Package money has amounts of money as whole hellers, so that nothing is ever
// rounded: floats cannot hold 0.10.
package money

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Errors of this package.
var (
	// ErrSyntax: a text is not an amount.
	ErrSyntax = errors.New("want digits with at most two decimals, such as 1234.56")
	// ErrRange: an amount or a sum is beyond what an [Amount] can hold.
	ErrRange = errors.New("amount out of range")
)

// Amount is a number of hellers, of which a koruna has a hundred (or of cents).
// In JSON it is an integer. The zero value is no money.
type Amount int64

// Max is the largest amount.
const Max Amount = math.MaxInt64

// Parse reads what [Amount.String] prints, and also "1234" and "1234.5". It
// gives [ErrSyntax] or [ErrRange], with the text.
func Parse(s string) (Amount, error) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if !isNumber(whole) || point && (!isNumber(fraction) || len(fraction) > 2) {
		return 0, fmt.Errorf("%q is not an amount: %w", s, ErrSyntax)
	}
	hellers := whole + (fraction + "00")[:2]
	if negative {
		hellers = "-" + hellers
	}
	n, err := strconv.ParseInt(hellers, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q: %w", s, ErrRange)
	}
	return Amount(n), nil
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// String prints the amount with two decimals, as in "-1234.50".
func (a Amount) String() string {
	sign, magnitude := "", uint64(a)
	if a < 0 {
		sign, magnitude = "-", -magnitude // also right for the smallest int64
	}
	return fmt.Sprintf("%s%d.%02d", sign, magnitude/100, magnitude%100)
}

// Add returns a+b, or [ErrRange].
func (a Amount) Add(b Amount) (Amount, error) {
	sum := a + b
	if (sum < a) != (b < 0) {
		return 0, fmt.Errorf("%v + %v: %w", a, b, ErrRange)
	}
	return sum, nil
}

// Abs returns the amount without its sign.
func (a Amount) Abs() Amount {
	switch {
	case a >= 0:
		return a
	case a == math.MinInt64: // has no counterpart
		return Max
	default:
		return -a
	}
}

// Grouped prints the amount for people, as in "-1,234.50".
func (a Amount) Grouped() string {
	whole, hellers, _ := strings.Cut(a.String(), ".")
	digits, negative := strings.CutPrefix(whole, "-")
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if negative {
		digits = "-" + digits
	}
	return digits + "." + hellers
}
