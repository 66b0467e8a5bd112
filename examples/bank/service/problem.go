package service

import (
	"context"
	"database/sql"
	"errors"
	"net/http"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
)

// Problem is what a client is told of an error.
type Problem struct {
	// Status is that of HTTP.
	Status int
	// Code says which problem it is, for programs.
	Code string
	// Detail says it to people. It holds nothing of the inside.
	Detail string
}

// problems are the errors that a client can do something about.
var problems = []struct {
	err    error
	status int
	code   string
}{
	{ErrStale, http.StatusPreconditionFailed, "stale"},
	{ErrKeyReused, http.StatusUnprocessableEntity, "key-reused"},
	{ErrNoConsumer, http.StatusNotFound, "no-consumer"},
	{account.ErrNotOpen, http.StatusNotFound, "no-account"},
	{account.ErrAlreadyOpen, http.StatusConflict, "already-open"},
	{account.ErrClosed, http.StatusConflict, "closed"},
	{account.ErrFrozen, http.StatusConflict, "frozen"},
	{account.ErrNotFrozen, http.StatusConflict, "not-frozen"},
	{account.ErrInsufficientFunds, http.StatusConflict, "insufficient-funds"},
	{account.ErrBalanceNotZero, http.StatusConflict, "balance-not-zero"},
	{account.ErrPaymentsUnderWay, http.StatusConflict, "payments-under-way"},
	{account.ErrID, http.StatusUnprocessableEntity, "bad-account-number"},
	{account.ErrNoHolder, http.StatusUnprocessableEntity, "no-holder"},
	{account.ErrNoReason, http.StatusUnprocessableEntity, "no-reason"},
	{account.ErrText, http.StatusUnprocessableEntity, "bad-text"},
	{account.ErrParty, http.StatusUnprocessableEntity, "bad-party"},
	{account.ErrSameAccount, http.StatusUnprocessableEntity, "same-account"},
	{account.ErrAmountNotPositive, http.StatusUnprocessableEntity, "amount-not-positive"},
	{account.ErrNegativeOverdraft, http.StatusUnprocessableEntity, "negative-overdraft"},
	{money.ErrRange, http.StatusUnprocessableEntity, "amount-out-of-range"},
	{money.ErrSyntax, http.StatusUnprocessableEntity, "bad-amount"},
	{es.ErrRebuilding, http.StatusConflict, "rebuilding"},
	{es.ErrNotRebuilding, http.StatusConflict, "not-rebuilding"},
	{es.ErrNotParked, http.StatusNotFound, "not-parked"},
}

// ProblemOf returns what to tell a client, and false for an error that is to be
// logged, because only the operator can do something about it.
func ProblemOf(err error) (p Problem, known bool) {
	for _, known := range problems {
		if errors.Is(err, known.err) {
			return Problem{known.status, known.code, err.Error()}, true
		}
	}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Problem{http.StatusNotFound, "not-found", "there is no such thing, or not yet"}, true
	case errors.Is(err, es.ErrBusy), errors.Is(err, es.ErrConflict):
		return Problem{http.StatusServiceUnavailable, "busy", "nothing was written, try again"}, true
	case errors.Is(err, es.ErrOutcomeUnknown):
		return Problem{http.StatusServiceUnavailable, "outcome-unknown", "the command may have landed; repeat it with the same Idempotency-Key"}, false
	case errors.Is(err, context.Canceled): // nobody waits for the answer
		return Problem{http.StatusServiceUnavailable, "cancelled", "the request was given up"}, true
	case errors.Is(err, context.DeadlineExceeded):
		return Problem{http.StatusServiceUnavailable, "too-slow", "it took too long, try again"}, false
	}
	return Problem{http.StatusInternalServerError, "internal", "something went wrong inside; the log of the server says what"}, false
}
