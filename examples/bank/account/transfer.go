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

// Transfer is money that goes from one account of the bank to another.
type Transfer struct {
	// ID is of the caller's choice and different for every transfer.
	ID       string
	From, To string
	Amount   money.Amount
}

// Run moves the money in one transaction: both events become visible at once,
// or neither does. It returns where the later one is.
//
// A refusal names the account and unwraps to an error of this package. In a
// context with a command id (es.WithCommandID) a repeated transfer lands once; an
// id that another command on one of the accounts had gives [ErrCommandReused].
func (t Transfer) Run(ctx context.Context, repo *Repository, inTx InTx) (last es.AppendResult, err error) {
	if t.From == t.To {
		return last, fmt.Errorf("account %s: %w", t.From, ErrSameAccount)
	}
	type leg struct {
		key    string
		decide func(*Account) ([]Event, error)
	}
	legs := []leg{
		{t.From, func(a *Account) ([]Event, error) { return a.TransferOut(t.ID, t.To, t.Amount) }},
		{t.To, func(a *Account) ([]Event, error) { return a.TransferIn(t.ID, t.From, t.Amount) }},
	}
	// Execute locks its account until the end of the transaction. Everybody
	// locks in the order of the ids, so no two transfers wait for each other.
	slices.SortFunc(legs, func(a, b leg) int { return cmp.Compare(a.key, b.key) })
	err = inTx(ctx, func(tx es.Tx) error {
		accounts, repeated := repo.In(tx), 0
		for _, leg := range legs {
			root, err := accounts.Execute(ctx, leg.key, leg.decide)
			if err != nil {
				return fmt.Errorf("account %s: %w", leg.key, err)
			}
			at := root.LastAppend()
			if at.Duplicate {
				repeated++
			}
			if at.Position >= last.Position {
				last = at
			}
		}
		// A command id is recognised in each stream by itself. Where only one of
		// them has it, it was another command's, and half a transfer must not land.
		if repeated == 1 {
			return ErrCommandReused
		}
		return nil
	})
	return last, err
}
