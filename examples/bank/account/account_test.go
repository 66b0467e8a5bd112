package account_test

import (
	"errors"
	"math"
	"testing"

	"github.com/peatlog/peat/aggregate/aggregatetest"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
)

// decide names the shape of a decision, for tables of them.
type decide = func(a *account.Account) ([]account.Event, error)

func deposit(n money.Amount) decide {
	return func(a *account.Account) ([]account.Event, error) { return a.Deposit(n) }
}

func withdraw(n money.Amount) decide {
	return func(a *account.Account) ([]account.Event, error) { return a.Withdraw(n) }
}

func post(p account.Posting) decide {
	return func(a *account.Account) ([]account.Event, error) { return a.Post(p) }
}

func open(holder string, overdraft money.Amount) decide {
	return func(a *account.Account) ([]account.Event, error) { return a.Open(holder, overdraft) }
}

func send(to string, n money.Amount) decide {
	return func(a *account.Account) ([]account.Event, error) { return a.TransferOut("t1", to, n) }
}

func receive(from string, n money.Amount) decide {
	return func(a *account.Account) ([]account.Event, error) { return a.TransferIn("t1", from, n) }
}

// given has the histories that the tests start from.
var (
	never  []account.Event
	opened = []account.Event{account.Opened{Holder: "Ann", Overdraft: 50}}
	funded = append(opened[:1:1], account.Deposited{Amount: 100})
	closed = append(opened[:1:1], account.Closed{})
	full   = append(opened[:1:1], account.Deposited{Amount: math.MaxInt64})
	fee    = account.StatementFeeCharged{Entry: account.Entry{Transaction: 7, Date: "1993-12-31", Amount: 30, Printed: -30}}
)

func TestDecisionsThatAreTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given   []account.Event
		when    decide
		then    []account.Event
		balance money.Amount
	}{
		"open":                              {never, open("Ann", 50), opened, 0},
		"deposit":                           {funded, deposit(30), []account.Event{account.Deposited{Amount: 30}}, 130},
		"withdraw":                          {funded, withdraw(30), []account.Event{account.Withdrawn{Amount: 30}}, 70},
		"withdraw down to the limit":        {funded, withdraw(150), []account.Event{account.Withdrawn{Amount: 150}}, -50},
		"send a transfer":                   {funded, send("bob", 30), []account.Event{account.TransferSent{Transfer: "t1", To: "bob", Amount: 30}}, 70},
		"receive a transfer":                {funded, receive("bob", 30), []account.Event{account.TransferReceived{Transfer: "t1", From: "bob", Amount: 30}}, 130},
		"close":                             {opened, (*account.Account).Close, []account.Event{account.Closed{}}, 0},
		"withdraw with a limit without end": {[]account.Event{account.Opened{Overdraft: money.Max}, account.Deposited{Amount: money.Max}}, withdraw(money.Max), []account.Event{account.Withdrawn{Amount: money.Max}}, 0},
		"a posting opens the account":       {never, post(fee), []account.Event{account.Opened{}, fee}, -30},
		"a posting is below any limit":      {append(opened[:1:1], account.Withdrawn{Amount: 50}), post(fee), []account.Event{fee}, -80},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state := aggregatetest.For(t, account.Accounts).Given(c.given...).When(c.when).Then(c.then...)
			if state.Balance != c.balance {
				t.Errorf("balance %v, want %v", state.Balance, c.balance)
			}
		})
	}
}

func TestDecisionsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given []account.Event
		when  decide
		why   error
	}{
		"open twice":                       {opened, open("Bob", 0), account.ErrAlreadyOpen},
		"open again after closing":         {closed, open("Ann", 0), account.ErrClosed},
		"open for nobody":                  {never, open(" ", 0), account.ErrNoHolder},
		"open with a negative limit":       {never, open("Ann", -1), account.ErrNegativeOverdraft},
		"deposit before opening":           {never, deposit(1), account.ErrNotOpen},
		"deposit after closing":            {closed, deposit(1), account.ErrClosed},
		"deposit nothing":                  {opened, deposit(0), account.ErrAmountNotPositive},
		"deposit less than nothing":        {opened, deposit(-1), account.ErrAmountNotPositive},
		"deposit more than can be":         {full, deposit(1), money.ErrRange},
		"withdraw before opening":          {never, withdraw(1), account.ErrNotOpen},
		"withdraw after closing":           {closed, withdraw(1), account.ErrClosed},
		"withdraw less than nothing":       {opened, withdraw(-1), account.ErrAmountNotPositive},
		"withdraw beyond the limit":        {funded, withdraw(151), account.ErrInsufficientFunds},
		"send beyond the limit":            {funded, send("bob", 151), account.ErrInsufficientFunds},
		"send nothing":                     {funded, send("bob", 0), account.ErrAmountNotPositive},
		"receive before opening":           {never, receive("bob", 1), account.ErrNotOpen},
		"close before opening":             {never, (*account.Account).Close, account.ErrNotOpen},
		"close twice":                      {closed, (*account.Account).Close, account.ErrClosed},
		"close with money":                 {funded, (*account.Account).Close, account.ErrBalanceNotZero},
		"post after closing":               {closed, post(fee), account.ErrClosed},
		"post more than a balance can be":  {full, post(account.CashDeposited{Entry: account.Entry{Amount: 1}}), money.ErrRange},
		"post less than a balance can be ": {append(opened[:1:1], account.Withdrawn{Amount: money.Max}), post(fee), money.ErrRange},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			aggregatetest.For(t, account.Accounts).Given(c.given...).When(c.when).ThenError(c.why)
		})
	}
}

func TestRefusalsCarryTheFigures(t *testing.T) {
	t.Parallel()
	a := &account.Account{Status: account.Open, Balance: 100, Overdraft: 50}
	_, err := a.Withdraw(200)
	if refused, ok := errors.AsType[*account.InsufficientFundsError](err); !ok || refused.Available != 150 || refused.Wanted != 200 {
		t.Errorf("Withdraw: %v", err)
	}
	_, err = a.Close()
	if refused, ok := errors.AsType[*account.BalanceNotZeroError](err); !ok || refused.Balance != 100 {
		t.Errorf("Close: %v", err)
	}
}
