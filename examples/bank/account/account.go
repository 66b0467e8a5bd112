package account

import "github.com/peatlog/peat/examples/bank/money"

// Account is the state of one account: plain data, folded from its events. The
// zero value is an account that was never opened.
type Account struct {
	Status Status
	// Version is the number of events so far, which is the version of the stream.
	Version int64
	// Holder is "" where a ledger opened the account.
	Holder string
	// Balance is the sum of all movements. Postings may take it below the
	// overdraft limit, customers may not.
	Balance money.Amount
	// Overdraft is how far below zero a customer may go.
	Overdraft money.Amount
	// Payments are those to other banks that are under way, by their ids; nil
	// where there are none.
	Payments map[string]Payment
}

// Status is where an account is in its life.
type Status string

// The life of an account. What is closed stays closed.
const (
	Unopened Status = ""
	Open     Status = "open"
	Locked   Status = "frozen" // money can come in, but not go out
	Shut     Status = "closed"
)

// Apply takes one event into the state. It accepts every event in every state:
// what has happened has happened, rules belong into the decisions.
func (a *Account) Apply(e Event) {
	a.Version++
	switch e := e.(type) {
	case Opened:
		a.Status, a.Holder, a.Overdraft = Open, e.Holder, e.Overdraft
	case Frozen:
		a.Status = Locked
	case Unfrozen:
		a.Status = Open
	case Closed:
		a.Status = Shut
	}
	if m, ok := e.(Movement); ok {
		a.Balance += m.Change()
	}
	if s, ok := e.(PaymentStep); ok {
		a.applyPayment(s)
	}
}

// Available is what a customer can take out: the balance and the overdraft.
func (a *Account) Available() money.Amount {
	sum, err := a.Balance.Add(a.Overdraft)
	if err != nil {
		return money.Max // the limit is not negative, so only upwards
	}
	return sum
}

// mustBeOpen is the rule before all others: a frozen account is open, too.
func (a *Account) mustBeOpen() error {
	switch a.Status {
	case Open, Locked:
		return nil
	case Shut:
		return ErrClosed
	default:
		return ErrNotOpen
	}
}
