package proptest_test

import (
	"context"
	"errors"
	"fmt"

	"pgregory.net/rapid"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/proptest"
)

// Event is what happens to an account.
type Event interface {
	es.Event
	isAccountEvent()
}

type (
	Deposited struct{ Amount int64 }
	Withdrawn struct{ Amount int64 }
	// storedCreditV1 is how deposits were stored in the first year.
	storedCreditV1 struct{ Cents int64 }
)

func (Deposited) EventType() string { return "account.deposited" }
func (Withdrawn) EventType() string { return "account.withdrawn" }
func (Deposited) isAccountEvent()   {}
func (Withdrawn) isAccountEvent()   {}

// Account is the state of an account.
type Account struct{ Balance int64 }

func (a *Account) Apply(e Event) {
	switch e := e.(type) {
	case Deposited:
		a.Balance += e.Amount
	case Withdrawn:
		a.Balance -= e.Amount
	}
}

var errInsufficientFunds = errors.New("insufficient funds")

func (a *Account) Withdraw(amount int64) ([]Event, error) {
	if amount > a.Balance {
		return nil, errInsufficientFunds
	}
	return []Event{Withdrawn{amount}}, nil
}

var (
	AccountEvents = codec.NewUnion(
		codec.Case(func(e Deposited) Event { return e }),
		codec.Case(func(e Withdrawn) Event { return e }),
		codec.Legacy("account.credited", func(e storedCreditV1) Event { return Deposited{e.Cents} }),
	)
	Accounts = aggregate.Define("account", AccountEvents, func() *Account { return new(Account) })
)

// accountCases draws any events, accountCommands decisions.
var (
	accountCases = proptest.Events[Event]{
		proptest.Case(func(e Deposited) Event { return e }),
		proptest.Case(func(e Withdrawn) Event { return e }),
	}
	accountCommands = rapid.Custom(func(t *rapid.T) proptest.Command[*Account, Event] {
		amount := rapid.Int64Range(1, 100).Draw(t, "amount")
		if rapid.Bool().Draw(t, "deposit") {
			return proptest.Command[*Account, Event]{Name: fmt.Sprint("deposit ", amount), Decide: func(*Account) ([]Event, error) {
				return []Event{Deposited{amount}}, nil
			}}
		}
		return proptest.Command[*Account, Event]{Name: fmt.Sprint("withdraw ", amount), Decide: func(a *Account) ([]Event, error) {
			return a.Withdraw(amount)
		}}
	})
)

func ExampleCheckCodec() {
	t := &fake{} // in a test, its *testing.T
	proptest.CheckCodec(t, AccountEvents, accountCases,
		proptest.Stored[Event]{Name: "account.credited", Payload: `{"Cents": 250}`, Event: Deposited{250}})
	fmt.Println("the codec keeps its laws")
	// Output: the codec keeps its laws
}

func ExampleCheckFold() {
	t := &fake{} // in a test, its *testing.T
	proptest.CheckFold(t, Accounts, accountCases)
	proptest.CheckSnapshots(t, Accounts, accountCases)
	fmt.Println("the fold keeps its laws")
	// Output: the fold keeps its laws
}

func ExampleCheckDecisions() {
	t := &fake{} // in a test, its *testing.T
	proptest.CheckDecisions(t, Accounts, accountCommands)
	fmt.Println("the decisions keep their laws")
	// Output: the decisions keep their laws
}

// A projection counts the deposits of each account. It remembers the version up to
// which it has, because it is fed at least once.
func ExampleCheckProjection() {
	t := &fake{} // in a test, its *testing.T
	type row struct{ Deposits, Version int64 }
	open := func(*rapid.T) proptest.ReadModel[Event, map[string]row] {
		rows := map[string]row{}
		handle := func(_ context.Context, batch []es.Envelope[Event]) error {
			for _, e := range batch {
				r := rows[e.Stream.Key]
				if _, ok := e.Event.(Deposited); ok && e.Version > r.Version {
					rows[e.Stream.Key] = row{r.Deposits + 1, e.Version}
				}
			}
			return nil
		}
		return proptest.ReadModel[Event, map[string]row]{
			Handle: handle, Table: func(context.Context) (map[string]row, error) { return rows, nil },
		}
	}
	proptest.CheckProjection(t, proptest.Reachable(Accounts, accountCommands), open, proptest.ProjectionOptions{Category: "account"})
	fmt.Println("the projection keeps its laws")
	// Output: the projection keeps its laws
}

// The model of an account is a number.
func ExampleCheckModel() {
	t := &fake{} // in a test, its *testing.T
	proptest.CheckModel(t, Accounts, proptest.Model[*Account, Event, *int64]{
		New: func() *int64 { return new(int64) },
		Next: func(t *rapid.T, balance *int64) proptest.Move[*Account, Event, *int64] {
			amount := rapid.Int64Range(1, *balance+10).Draw(t, "withdraw")
			if rapid.Bool().Draw(t, "deposit instead") {
				return proptest.Move[*Account, Event, *int64]{
					Decide: func(*Account) ([]Event, error) { return []Event{Deposited{amount}}, nil },
					Expect: func(balance *int64) error { *balance += amount; return nil },
				}
			}
			return proptest.Move[*Account, Event, *int64]{
				Decide: func(a *Account) ([]Event, error) { return a.Withdraw(amount) },
				Expect: func(balance *int64) error {
					if amount > *balance {
						return errInsufficientFunds
					}
					*balance -= amount
					return nil
				},
			}
		},
		Agree: func(a *Account, balance *int64) error {
			if a.Balance != *balance {
				return fmt.Errorf("the account has %d, the model %d", a.Balance, *balance)
			}
			return nil
		},
	})
	fmt.Println("the account agrees with its model")
	// Output: the account agrees with its model
}
