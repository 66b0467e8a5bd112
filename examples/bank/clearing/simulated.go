package clearing

import (
	"context"
	"errors"
	"slices"

	"github.com/peatlog/peat/examples/bank/account"
)

// Simulated is a network in the place of a real one. Its banks are those of the
// shipped ledger; they take what goes to an account that does not begin with 0.
type Simulated struct {
	// Unreachable are codes of banks that do not answer.
	Unreachable []string
}

// banks are the codes that the ledger knows.
var banks = []string{"AB", "CD", "EF", "GH", "IJ", "KL", "MN", "OP", "QR", "ST", "UV", "WX", "YZ"}

// Send implements [Network]. It always says the same of a payment, so there is
// nothing to remember.
func (s Simulated) Send(_ context.Context, p account.PaymentRequested) error {
	switch {
	case slices.Contains(s.Unreachable, p.To.Bank):
		return errors.New("no answer")
	case !slices.Contains(banks, p.To.Bank):
		return &RejectedError{Reason: "there is no bank " + p.To.Bank}
	case p.To.Account[0] == '0':
		return &RejectedError{Reason: "bank " + p.To.Bank + " has no account " + p.To.Account}
	}
	return nil
}
