package account

import "github.com/peatlog/peat/examples/bank/money"

// Account is the state of one account: plain data, folded from its events. The
// zero value is an account that was never opened.
type Account struct {
	Status Status
	// Holder is "" where a ledger opened the account.
	Holder string
	// Balance is the sum of all movements. Postings may take it below the
	// overdraft limit, customers may not.
	Balance money.Amount
	// Overdraft is how far below zero a customer may go.
	Overdraft money.Amount
}

// Status is where an account is in its life.
type Status string

// The life of an account. It never goes back.
const (
	Unopened Status = ""
	Open     Status = "open"
	Shut     Status = "closed"
)

// Apply takes one event into the state. It accepts every event in every state:
// what has happened has happened, rules belong into the decisions.
func (a *Account) Apply(e Event) {
	switch e := e.(type) {
	case Opened:
		a.Status, a.Holder, a.Overdraft = Open, e.Holder, e.Overdraft
	case Closed:
		a.Status = Shut
	case Movement:
		a.Balance += e.Change()
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

// mustBeOpen is the rule before most others.
func (a *Account) mustBeOpen() error {
	switch a.Status {
	case Open:
		return nil
	case Shut:
		return ErrClosed
	default:
		return ErrNotOpen
	}
}
