package cli

import (
	"github.com/peatlog/peat/examples/bank/money"
)

// grouped prints an amount for people, as in "-1,234.50".
func grouped[A amount | money.Amount](a A) string { return money.Amount(a).Grouped() }

// signed is grouped with the sign that movements carry, also the positive one.
func signed(a money.Amount) string {
	if a >= 0 {
		return "+" + grouped(a)
	}
	return grouped(a)
}
