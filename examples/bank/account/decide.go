package account

import (
	"strings"

	"github.com/peatlog/peat/examples/bank/money"
)

// Open opens the account for its holder, with the given overdraft limit.
func (a *Account) Open(holder string, overdraft money.Amount) ([]Event, error) {
	switch {
	case a.Status == Open:
		return nil, ErrAlreadyOpen
	case a.Status == Shut:
		return nil, ErrClosed
	case strings.TrimSpace(holder) == "":
		return nil, ErrNoHolder
	case overdraft < 0:
		return nil, ErrNegativeOverdraft
	}
	return []Event{Opened{Holder: holder, Overdraft: overdraft}}, nil
}

// Deposit puts money in.
func (a *Account) Deposit(amount money.Amount) ([]Event, error) {
	if err := a.credit(amount); err != nil {
		return nil, err
	}
	return []Event{Deposited{Amount: amount}}, nil
}

// Withdraw takes money out, at most what is available.
func (a *Account) Withdraw(amount money.Amount) ([]Event, error) {
	if err := a.debit(amount); err != nil {
		return nil, err
	}
	return []Event{Withdrawn{Amount: amount}}, nil
}

// TransferOut sends money to another account of the bank. The other half is
// TransferIn; see [Transfer].
func (a *Account) TransferOut(to string, amount money.Amount) ([]Event, error) {
	if err := a.debit(amount); err != nil {
		return nil, err
	}
	return []Event{TransferSent{To: to, Amount: amount}}, nil
}

// TransferIn receives money from another account of the bank.
func (a *Account) TransferIn(from string, amount money.Amount) ([]Event, error) {
	if err := a.credit(amount); err != nil {
		return nil, err
	}
	return []Event{TransferReceived{From: from, Amount: amount}}, nil
}

// Close ends the account. What is on it must be taken out first, what it owes
// paid.
func (a *Account) Close() ([]Event, error) {
	if err := a.mustBeOpen(); err != nil {
		return nil, err
	}
	if a.Balance != 0 {
		return nil, &BalanceNotZeroError{Balance: a.Balance}
	}
	return []Event{Closed{}}, nil
}

// Post records a posting of a ledger. The first one opens the account; there is
// no limit to how far it may be overdrawn, because it has happened.
func (a *Account) Post(p Posting) ([]Event, error) {
	if a.Status == Shut {
		return nil, ErrClosed
	}
	if _, err := a.Balance.Add(p.Change()); err != nil {
		return nil, err
	}
	if a.Status == Unopened {
		return []Event{Opened{}, p}, nil
	}
	return []Event{p}, nil
}

// credit reports why an amount cannot come in.
func (a *Account) credit(amount money.Amount) error {
	if err := a.mustBeOpen(); err != nil {
		return err
	}
	if amount <= 0 {
		return ErrAmountNotPositive
	}
	_, err := a.Balance.Add(amount)
	return err
}

// debit reports why an amount cannot go out.
func (a *Account) debit(amount money.Amount) error {
	if err := a.mustBeOpen(); err != nil {
		return err
	}
	if amount <= 0 {
		return ErrAmountNotPositive
	}
	if available := a.Available(); amount > available {
		return &InsufficientFundsError{Available: available, Wanted: amount}
	}
	return nil
}
