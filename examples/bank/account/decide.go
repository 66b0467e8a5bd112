package account

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/peatlog/peat/examples/bank/money"
)

// Open opens the account for its holder, with the given overdraft limit.
func (a *Account) Open(holder string, overdraft money.Amount) ([]Event, error) {
	switch {
	case a.Status == Open || a.Status == Locked:
		return nil, ErrAlreadyOpen
	case a.Status == Shut:
		return nil, ErrClosed
	case strings.TrimSpace(holder) == "":
		return nil, ErrNoHolder
	case !isText(holder):
		return nil, ErrText
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
// TransferIn, with the same id; see [Transfer].
func (a *Account) TransferOut(transfer, to string, amount money.Amount) ([]Event, error) {
	if err := a.debit(amount); err != nil {
		return nil, err
	}
	return []Event{TransferSent{Transfer: transfer, To: to, Amount: amount}}, nil
}

// TransferIn receives money from another account of the bank.
func (a *Account) TransferIn(transfer, from string, amount money.Amount) ([]Event, error) {
	if err := a.credit(amount); err != nil {
		return nil, err
	}
	return []Event{TransferReceived{Transfer: transfer, From: from, Amount: amount}}, nil
}

// Freeze stops what customers take out of the account.
func (a *Account) Freeze(reason string) ([]Event, error) {
	if err := a.mustBeOpen(); err != nil {
		return nil, err
	}
	if a.Status == Locked {
		return nil, ErrFrozen
	}
	if err := CheckReason(reason); err != nil {
		return nil, err
	}
	return []Event{Frozen{Reason: reason}}, nil
}

// Unfreeze ends Freeze.
func (a *Account) Unfreeze() ([]Event, error) {
	if err := a.mustBeOpen(); err != nil {
		return nil, err
	}
	if a.Status != Locked {
		return nil, ErrNotFrozen
	}
	return []Event{Unfrozen{}}, nil
}

// Close ends the account. What is on it must be taken out first, what it owes
// paid, and payments under way may still come back.
func (a *Account) Close() ([]Event, error) {
	if err := a.mustBeOpen(); err != nil {
		return nil, err
	}
	switch {
	case a.Status == Locked:
		return nil, ErrFrozen
	case len(a.Payments) > 0:
		return nil, ErrPaymentsUnderWay
	case a.Balance != 0:
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
	if a.Status == Locked {
		return ErrFrozen
	}
	if amount <= 0 {
		return ErrAmountNotPositive
	}
	if available := a.Available(); amount > available {
		return &InsufficientFundsError{Available: available, Wanted: amount}
	}
	return nil
}

// CheckReason tells whether a reason is one: [ErrNoReason], [ErrText].
func CheckReason(reason string) error {
	switch {
	case strings.TrimSpace(reason) == "":
		return ErrNoReason
	case !isText(reason):
		return ErrText
	}
	return nil
}

// maxText is how many characters a text of a customer may have.
const maxText = 100

// isText tells whether a text can be stored and shown on one line.
func isText(s string) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= maxText && strings.IndexFunc(s, unicode.IsControl) < 0
}
