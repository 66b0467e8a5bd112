package account_test

import (
	"testing"

	"github.com/peatlog/peat/aggregate/aggregatetest"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
)

// The histories of a payment, and of a frozen account.
var (
	party     = account.Party{Bank: "YZ", Account: "62457513"}
	requested = append(funded[:2:2], account.PaymentRequested{Payment: "p1", To: party, Amount: 30})
	rejected  = append(requested[:3:3], account.PaymentRejected{Payment: "p1", Reason: "unknown account"})
	refunded  = append(rejected[:4:4], account.PaymentRefunded{Payment: "p1", Amount: 30})
	settled   = append(requested[:3:3], account.PaymentSettled{Payment: "p1", To: party, Amount: 30})
	frozen    = append(funded[:2:2], account.Frozen{Reason: "lost card"})
	thawed    = append(frozen[:3:3], account.Unfrozen{})
)

func pay(to account.Party, n money.Amount) decide {
	return func(a *account.Account) ([]account.Event, error) { return a.RequestPayment("p1", to, n) }
}

func settle(a *account.Account) ([]account.Event, error) { return a.SettlePayment("p1") }

func reject(a *account.Account) ([]account.Event, error) {
	return a.RejectPayment("p1", "unknown account")
}

func refund(a *account.Account) ([]account.Event, error) { return a.RefundPayment("p1") }

func freeze(reason string) decide {
	return func(a *account.Account) ([]account.Event, error) { return a.Freeze(reason) }
}

func TestPaymentsAndFreezesThatAreTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given   []account.Event
		when    decide
		then    account.Event
		balance money.Amount
	}{
		"request":                    {funded, pay(party, 30), requested[2], 70},
		"settle":                     {requested, settle, settled[3], 70},
		"reject":                     {requested, reject, rejected[3], 70},
		"refund":                     {rejected, refund, refunded[4], 100},
		"refund into a frozen one":   {append(rejected[:4:4], account.Frozen{Reason: "x"}), refund, refunded[4], 100},
		"freeze":                     {funded, freeze("lost card"), frozen[2], 100},
		"unfreeze":                   {frozen, (*account.Account).Unfreeze, account.Unfrozen{}, 100},
		"deposit into a frozen one":  {frozen, deposit(1), account.Deposited{Amount: 1}, 101},
		"receive into a frozen one":  {frozen, receive("bob", 1), account.TransferReceived{Transfer: "t1", From: "bob", Amount: 1}, 101},
		"a ledger posts to a frozen": {frozen, post(fee), fee, 70},
		"withdraw when it is over":   {thawed, withdraw(1), account.Withdrawn{Amount: 1}, 99},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state := aggregatetest.For(t, account.Accounts).Given(c.given...).When(c.when).Then(c.then)
			if state.Balance != c.balance || state.Version != int64(len(c.given)+1) {
				t.Errorf("balance %v at version %d, want %v at %d", state.Balance, state.Version, c.balance, len(c.given)+1)
			}
		})
	}
}

func TestPaymentsAndFreezesThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given []account.Event
		when  decide
		why   error
	}{
		"more than there is":         {funded, pay(party, 151), account.ErrInsufficientFunds},
		"nothing":                    {funded, pay(party, 0), account.ErrAmountNotPositive},
		"to no bank":                 {funded, pay(account.Party{Bank: "y z", Account: "1"}, 1), account.ErrParty},
		"to no account":              {funded, pay(account.Party{Bank: "YZ", Account: "x"}, 1), account.ErrParty},
		"from a frozen account":      {frozen, pay(party, 1), account.ErrFrozen},
		"settled twice":              {settled, settle, account.ErrNoPayment},
		"settled when rejected":      {rejected, settle, account.ErrNoPayment},
		"rejected twice":             {rejected, reject, account.ErrNoPayment},
		"rejected when settled":      {settled, reject, account.ErrNoPayment},
		"refunded when not rejected": {requested, refund, account.ErrNoPayment},
		"refunded twice":             {refunded, refund, account.ErrNoPayment},
		"refunded when settled":      {settled, refund, account.ErrNoPayment},
		"withdraw when frozen":       {frozen, withdraw(1), account.ErrFrozen},
		"send when frozen":           {frozen, send("bob", 1), account.ErrFrozen},
		"close when frozen":          {append(opened[:1:1], account.Frozen{Reason: "x"}), (*account.Account).Close, account.ErrFrozen},
		"close with a payment":       {append(opened[:1:1], account.PaymentRequested{Payment: "p1", To: party, Amount: 0}), (*account.Account).Close, account.ErrPaymentsUnderWay},
		"freeze twice":               {frozen, freeze("again"), account.ErrFrozen},
		"freeze without a reason":    {funded, freeze(" "), account.ErrNoReason},
		"freeze for two lines":       {funded, freeze("a\nb"), account.ErrText},
		"freeze what is not open":    {never, freeze("x"), account.ErrNotOpen},
		"freeze what is closed":      {closed, freeze("x"), account.ErrClosed},
		"unfreeze what is not":       {thawed, (*account.Account).Unfreeze, account.ErrNotFrozen},
		"open with a long name":      {never, open(string(make([]rune, 101)), 0), account.ErrText},
		"open what is frozen":        {frozen, open("Ann", 0), account.ErrAlreadyOpen},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			aggregatetest.For(t, account.Accounts).Given(c.given...).When(c.when).ThenError(c.why)
		})
	}
}

func TestTheStateOfAPaymentIsKeptInACopyOfTheMap(t *testing.T) {
	t.Parallel()
	before := new(account.Account)
	for _, e := range requested {
		before.Apply(e)
	}
	after := *before
	after.Apply(rejected[3])
	if before.Payments["p1"].Rejected || !after.Payments["p1"].Rejected {
		t.Error("a copy of the state shares its payments")
	}
}
