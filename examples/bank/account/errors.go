package account

import (
	"errors"
	"fmt"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/money"
)

// Errors of the decisions.
var (
	// ErrNotOpen: the account was never opened.
	ErrNotOpen = errors.New("the account is not open")
	// ErrAlreadyOpen: the account is there already.
	ErrAlreadyOpen = errors.New("the account is open already")
	// ErrClosed: the account was closed, which is for good.
	ErrClosed = errors.New("the account is closed")
	// ErrNoHolder: an account cannot be opened for nobody.
	ErrNoHolder = errors.New("the holder is missing")
	// ErrText: a text cannot be stored or shown.
	ErrText = errors.New("want at most 100 characters on one line")
	// ErrFrozen: nothing may be taken out of a frozen account.
	ErrFrozen = errors.New("the account is frozen")
	// ErrNotFrozen: the account is not frozen.
	ErrNotFrozen = errors.New("the account is not frozen")
	// ErrNoReason: an account cannot be frozen without saying why.
	ErrNoReason = errors.New("the reason is missing")
	// ErrParty: a payment needs an account at another bank.
	ErrParty = errors.New("want a bank code of letters and digits and an account number of digits")
	// ErrNoPayment: the account has no such payment under way, or not in that state.
	ErrNoPayment = errors.New("no such payment under way")
	// ErrPaymentsUnderWay: payments to other banks may still come back.
	ErrPaymentsUnderWay = errors.New("payments to other banks are under way")
	// ErrAmountNotPositive: only positive amounts can be moved.
	ErrAmountNotPositive = errors.New("the amount must be positive")
	// ErrNegativeOverdraft: the overdraft limit is given as a positive amount.
	ErrNegativeOverdraft = errors.New("the overdraft limit must not be negative")
	// ErrSameAccount: a transfer needs two accounts.
	ErrSameAccount = errors.New("sender and receiver are the same account")
	// ErrCommandReused: the command id belongs to another command.
	ErrCommandReused = es.ErrCommandReused
	// ErrInsufficientFunds: see [*InsufficientFundsError].
	ErrInsufficientFunds = errors.New("insufficient funds")
	// ErrBalanceNotZero: see [*BalanceNotZeroError].
	ErrBalanceNotZero = errors.New("the balance is not zero")
)

// InsufficientFundsError says that more was wanted than the balance and the
// overdraft limit allow. It unwraps to [ErrInsufficientFunds].
type InsufficientFundsError struct {
	Available, Wanted money.Amount
}

// Error implements error.
func (e *InsufficientFundsError) Error() string {
	return fmt.Sprintf("%v: %v is available, %v was wanted", ErrInsufficientFunds, e.Available, e.Wanted)
}

// Unwrap returns [ErrInsufficientFunds].
func (e *InsufficientFundsError) Unwrap() error { return ErrInsufficientFunds }

// BalanceNotZeroError says that an account with money or debt cannot be closed.
// It unwraps to [ErrBalanceNotZero].
type BalanceNotZeroError struct {
	Balance money.Amount
}

// Error implements error.
func (e *BalanceNotZeroError) Error() string {
	return fmt.Sprintf("%v but %v", ErrBalanceNotZero, e.Balance)
}

// Unwrap returns [ErrBalanceNotZero].
func (e *BalanceNotZeroError) Unwrap() error { return ErrBalanceNotZero }
