package account

import (
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/money"
)

// Event is what can happen to an account. The interface is sealed, so that the
// fold and the union know all of them.
type Event interface {
	es.Event
	isAccountEvent()
}

// Movement is an event that changes the balance.
type Movement interface {
	Event
	// Change is what the balance grows by, negative for a debit.
	Change() money.Amount
}

// Opened begins an account.
type Opened struct {
	// Holder is who the account belongs to; "" where a ledger opened it, which
	// names no holders.
	Holder string `json:"holder,omitempty"`
	// Overdraft is how far below zero the balance may go.
	Overdraft money.Amount `json:"overdraft,omitempty"`
}

// Deposited puts money in.
type Deposited struct {
	Amount money.Amount `json:"amount"`
}

// Withdrawn takes money out.
type Withdrawn struct {
	Amount money.Amount `json:"amount"`
}

// TransferSent is the debit of a transfer inside the bank.
type TransferSent struct {
	// Transfer is the id that the two halves share; "" in old events.
	Transfer string       `json:"transfer,omitempty"`
	To       string       `json:"to"`
	Amount   money.Amount `json:"amount"`
}

// TransferReceived is the credit of a transfer inside the bank.
type TransferReceived struct {
	Transfer string       `json:"transfer,omitempty"`
	From     string       `json:"from"`
	Amount   money.Amount `json:"amount"`
}

// Frozen stops what customers take out, until [Unfrozen].
type Frozen struct {
	Reason string `json:"reason"`
}

// Unfrozen ends [Frozen].
type Unfrozen struct{}

// Closed ends an account for good.
type Closed struct{}

// The names are what the log knows the events by: they stay, whatever becomes
// of the Go types.

// EventType implements [es.Event].
func (Opened) EventType() string { return "account.opened" }

// EventType implements [es.Event].
func (Deposited) EventType() string { return "account.deposited" }

// EventType implements [es.Event].
func (Withdrawn) EventType() string { return "account.withdrawn" }

// EventType implements [es.Event].
func (TransferSent) EventType() string { return "account.transfer_sent" }

// EventType implements [es.Event].
func (TransferReceived) EventType() string { return "account.transfer_received" }

// EventType implements [es.Event].
func (Frozen) EventType() string { return "account.frozen" }

// EventType implements [es.Event].
func (Unfrozen) EventType() string { return "account.unfrozen" }

// EventType implements [es.Event].
func (Closed) EventType() string { return "account.closed" }

func (Opened) isAccountEvent()           {}
func (Deposited) isAccountEvent()        {}
func (Withdrawn) isAccountEvent()        {}
func (TransferSent) isAccountEvent()     {}
func (TransferReceived) isAccountEvent() {}
func (Frozen) isAccountEvent()           {}
func (Unfrozen) isAccountEvent()         {}
func (Closed) isAccountEvent()           {}

// Change implements [Movement].
func (e Deposited) Change() money.Amount { return e.Amount }

// Change implements [Movement].
func (e Withdrawn) Change() money.Amount { return -e.Amount }

// Change implements [Movement].
func (e TransferSent) Change() money.Amount { return -e.Amount }

// Change implements [Movement].
func (e TransferReceived) Change() money.Amount { return e.Amount }
