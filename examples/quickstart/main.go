// Command quickstart is the program in the README.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
)

// Event is what happens to an account. The unexported method seals it.
type Event interface {
	es.Event
	isAccountEvent()
}

// Deposited and Withdrawn are plain values with stable names.
type (
	Deposited struct{ Amount int64 }
	Withdrawn struct{ Amount int64 }
)

func (Deposited) EventType() string { return "account.deposited" }
func (Withdrawn) EventType() string { return "account.withdrawn" }
func (Deposited) isAccountEvent()   {}
func (Withdrawn) isAccountEvent()   {}

// Account is plain state: Apply folds events into it, methods decide.
type Account struct{ Balance int64 }

func (a *Account) Apply(e Event) {
	switch e := e.(type) {
	case Deposited:
		a.Balance += e.Amount
	case Withdrawn:
		a.Balance -= e.Amount
	}
}

func (a *Account) Withdraw(amount int64) ([]Event, error) {
	if amount > a.Balance {
		return nil, errors.New("insufficient funds")
	}
	return []Event{Withdrawn{amount}}, nil
}

var Accounts = aggregate.Define("account", codec.NewUnion(
	codec.Case(func(e Deposited) Event { return e }),
	codec.Case(func(e Withdrawn) Event { return e }),
), func() *Account { return new(Account) })

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	store, err := sqlite.Open(ctx, "bank.db", sqlite.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	repo := aggregate.NewRepository(store, Accounts)

	account, err := repo.LoadOrNew(ctx, "42")
	if err != nil {
		return err
	}
	account.Record(Deposited{100})
	if err := repo.Save(ctx, account); err != nil {
		return err
	}

	account, err = repo.Execute(ctx, "42", func(a *Account) ([]Event, error) { return a.Withdraw(30) })
	if err != nil {
		return err
	}
	fmt.Printf("%s is at version %d with a balance of %d\n", account.Stream(), account.Version(), account.State().Balance)
	return nil
}
