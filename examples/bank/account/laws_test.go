package account_test

import (
	"context"
	"fmt"
	"maps"
	bignum "math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/proptest"
)

// cases are all events of an account, with any values.
var cases = proptest.Events[account.Event]{
	proptest.Case(func(e account.Opened) account.Event { return e }),
	proptest.Case(func(e account.Deposited) account.Event { return e }),
	proptest.Case(func(e account.Withdrawn) account.Event { return e }),
	proptest.Case(func(e account.TransferSent) account.Event { return e }),
	proptest.Case(func(e account.TransferReceived) account.Event { return e }),
	proptest.Case(func(e account.Closed) account.Event { return e }),
	proptest.Case(func(e account.CashDeposited) account.Event { return e }),
	proptest.Case(func(e account.CashWithdrawn) account.Event { return e }),
	proptest.Case(func(e account.CardWithdrawn) account.Event { return e }),
	proptest.Case(func(e account.PaymentReceived) account.Event { return e }),
	proptest.Case(func(e account.PaymentSent) account.Event { return e }),
	proptest.Case(func(e account.InterestCredited) account.Event { return e }),
	proptest.Case(func(e account.PenaltyInterestCharged) account.Event { return e }),
	proptest.Case(func(e account.StatementFeeCharged) account.Event { return e }),
}

func TestEventsKeepTheLaws(t *testing.T) {
	t.Parallel()
	var payloads []proptest.Stored[account.Event]
	for name, s := range stored {
		payloads = append(payloads, proptest.Stored[account.Event]{Name: name, Payload: s.payload, Event: s.event})
	}
	proptest.CheckCodec(t, account.Events, cases, payloads...)
}

func TestFoldKeepsTheLaws(t *testing.T) {
	t.Parallel()
	proptest.CheckFold(t, account.Accounts, cases)
	proptest.CheckSnapshots(t, account.Accounts, cases) // it takes none now, but could
}

// amounts are small, so that limits are met, or as large as can be.
var amounts = rapid.OneOf(
	rapid.Map(rapid.Int64Range(-2, 200), func(n int64) money.Amount { return money.Amount(n) }),
	rapid.SampledFrom([]money.Amount{money.Max, money.Max - 1}),
)

// operation is a command by its name and amount.
type operation struct {
	name   string
	amount money.Amount
}

var operations = rapid.Custom(func(t *rapid.T) operation {
	name := rapid.SampledFrom([]string{"open", "deposit", "deposit", "withdraw", "send", "receive", "close", "post"}).Draw(t, "operation")
	return operation{name, amounts.Draw(t, "amount")}
})

func (o operation) decide() decide {
	switch o.name {
	case "open":
		return open("Ann", o.amount)
	case "deposit":
		return deposit(o.amount)
	case "withdraw":
		return withdraw(o.amount)
	case "send":
		return send("bob", o.amount)
	case "receive":
		return receive("bob", o.amount)
	case "close":
		return (*account.Account).Close
	default:
		return post(account.StatementFeeCharged{Entry: account.Entry{Amount: o.amount.Abs()}})
	}
}

var commands = rapid.Map(operations, func(o operation) proptest.Command[*account.Account, account.Event] {
	return proptest.Command[*account.Account, account.Event]{Name: fmt.Sprint(o.name, " ", o.amount), Decide: o.decide()}
})

func TestDecisionsKeepTheLaws(t *testing.T) {
	t.Parallel()
	proptest.CheckDecisions(t, account.Accounts, commands)
}

// book is what a clerk would note of an account.
type book struct {
	status         string // "", "open" or "closed"
	balance, limit money.Amount
}

// do does to the book what an operation is to do, in the clerk's own words.
func (b *book) do(o operation) error {
	if o.name == "open" {
		switch {
		case b.status == "open":
			return account.ErrAlreadyOpen
		case b.status == "closed":
			return account.ErrClosed
		case o.amount < 0:
			return account.ErrNegativeOverdraft
		}
		*b = book{status: "open", limit: o.amount}
		return nil
	}
	switch {
	case b.status == "closed":
		return account.ErrClosed
	case b.status == "" && o.name != "post":
		return account.ErrNotOpen
	}
	if o.name == "close" {
		if b.balance != 0 {
			return account.ErrBalanceNotZero
		}
		b.status = "closed"
		return nil
	}
	return b.move(o)
}

// move moves money, reckoning with numbers of any size.
func (b *book) move(o operation) error {
	change := big(o.amount)
	switch o.name {
	case "deposit", "receive":
	case "withdraw", "send":
		change.Neg(change)
	default: // a fee, which is never negative, and asks nobody
		change.Neg(change.Abs(change))
	}
	sum := change.Add(change, big(b.balance))
	switch {
	case o.name != "post" && o.amount <= 0:
		return account.ErrAmountNotPositive
	case (o.name == "withdraw" || o.name == "send") && sum.Cmp(big(-b.limit)) < 0:
		return account.ErrInsufficientFunds
	case !sum.IsInt64():
		return money.ErrRange
	}
	b.status, b.balance = "open", money.Amount(sum.Int64())
	return nil
}

func big(a money.Amount) *bignum.Int { return bignum.NewInt(int64(a)) }

func TestAccountAgreesWithAClerksBook(t *testing.T) {
	t.Parallel()
	type model = proptest.Model[*account.Account, account.Event, *book]
	proptest.CheckModel(t, account.Accounts, model{
		New: func() *book { return &book{} },
		Next: func(t *rapid.T, _ *book) proptest.Move[*account.Account, account.Event, *book] {
			o := operations.Draw(t, "operation")
			return proptest.Move[*account.Account, account.Event, *book]{
				Decide: o.decide(),
				Expect: func(b *book) error { return b.do(o) },
			}
		},
		Agree: func(a *account.Account, b *book) error {
			if got := (book{string(a.Status), a.Balance, a.Overdraft}); got != *b {
				return fmt.Errorf("the account has %+v, the book %+v", got, *b)
			}
			return nil
		},
	})
}

// balances is a projection for which it is enough to be fed at least once: the balance
// of each account, and the version that it is of.
type balances map[es.StreamID]balance

type balance struct {
	of     int64
	amount money.Amount
}

func (b balances) Handle(_ context.Context, e es.Envelope[account.Event]) error {
	row := b[e.Stream]
	m, moves := e.Event.(account.Movement)
	if !moves || e.Version <= row.of {
		return nil
	}
	b[e.Stream] = balance{e.Version, row.amount + m.Change()}
	return nil
}

func TestProjectionKeepsTheLaws(t *testing.T) {
	t.Parallel()
	open := func(*rapid.T) proptest.ReadModel[account.Event, balances] {
		b := balances{}
		return proptest.ReadModel[account.Event, balances]{
			Handle: proptest.HandleEach[account.Event](b),
			Table:  func(context.Context) (balances, error) { return maps.Clone(b), nil },
		}
	}
	proptest.CheckProjection(t, proptest.Reachable(account.Accounts, commands), open, proptest.ProjectionOptions{Category: "account"})
	proptest.CheckProjection(t, cases.Sequences(), open, proptest.ProjectionOptions{Category: "account"})
}
