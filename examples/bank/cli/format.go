package cli

import (
	"strings"

	"github.com/peatlog/peat/examples/bank/money"
)

// grouped prints an amount for people, as in "-1,234.50".
func grouped[A amount | money.Amount](a A) string {
	whole, hellers, _ := strings.Cut(money.Amount(a).String(), ".")
	return groupDigits(whole) + "." + hellers
}

// signed is grouped with the sign that movements carry, also the positive one.
func signed(a money.Amount) string {
	if a >= 0 {
		return "+" + grouped(a)
	}
	return grouped(a)
}

// groupDigits puts a comma before every third digit from the right.
func groupDigits(number string) string {
	digits, negative := strings.CutPrefix(number, "-")
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if negative {
		return "-" + digits
	}
	return digits
}
