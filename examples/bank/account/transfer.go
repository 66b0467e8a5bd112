package account

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/money"
)

// InTx runs f in a transaction of the store and commits it, or rolls everything
// back if f fails. It is what the two stores' InTx methods have in common.
type InTx func(ctx context.Context, f func(tx es.Tx) error) error

// Transfer moves money from one account to another in one transaction: both
// events become visible at once, or neither does.
//
// A refusal names the account and unwraps to an error of this package. In a
// context with a command id (es.WithCommandID) a repeated transfer lands once.
func Transfer(ctx context.Context, repo *Repository, inTx InTx, from, to string, amount money.Amount) error {
	if from == to {
		return fmt.Errorf("account %s: %w", from, ErrSameAccount)
	}
	type leg struct {
		key    string
		decide func(*Account) ([]Event, error)
	}
	legs := []leg{
		{from, func(a *Account) ([]Event, error) { return a.TransferOut(to, amount) }},
		{to, func(a *Account) ([]Event, error) { return a.TransferIn(from, amount) }},
	}
	// Execute locks its account until the end of the transaction. Everybody
	// locks in the order of the ids, so no two transfers wait for each other.
	slices.SortFunc(legs, func(a, b leg) int { return cmp.Compare(a.key, b.key) })
	return inTx(ctx, func(tx es.Tx) error {
		accounts := repo.In(tx)
		for _, leg := range legs {
			if _, err := accounts.Execute(ctx, leg.key, leg.decide); err != nil {
				return fmt.Errorf("account %s: %w", leg.key, err)
			}
		}
		return nil
	})
}
