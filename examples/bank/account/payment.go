package account

import (
	"maps"
	"regexp"

	"github.com/peatlog/peat/examples/bank/money"
)

// PaymentStep is an event of a payment to another bank. It is requested, which
// takes the money out of the account; then the other bank settles it, or it is
// rejected and the money refunded. Package clearing takes the steps.
type PaymentStep interface {
	Event
	// PaymentID is what all steps of a payment share.
	PaymentID() string
}

// Payment is a payment to another bank that is under way.
type Payment struct {
	To     Party
	Amount money.Amount
	// Rejected tells that it only waits for its refund.
	Rejected bool
}

// PaymentRequested begins a payment and takes the money out of the account.
type PaymentRequested struct {
	Payment string       `json:"payment"`
	To      Party        `json:"to"`
	Amount  money.Amount `json:"amount"`
}

// PaymentSettled ends a payment: the other bank has the money.
type PaymentSettled struct {
	Payment string       `json:"payment"`
	To      Party        `json:"to"`
	Amount  money.Amount `json:"amount"`
}

// PaymentRejected says that the other bank does not take it.
type PaymentRejected struct {
	Payment string `json:"payment"`
	Reason  string `json:"reason"`
}

// PaymentRefunded ends a rejected payment: the money is back on the account.
type PaymentRefunded struct {
	Payment string       `json:"payment"`
	Amount  money.Amount `json:"amount"`
}

var (
	bankCode      = regexp.MustCompile(`^[A-Z0-9]{2,11}$`)
	accountNumber = regexp.MustCompile(`^[0-9]{1,34}$`)
)

// RequestPayment begins a payment to another bank.
func (a *Account) RequestPayment(id string, to Party, amount money.Amount) ([]Event, error) {
	if !bankCode.MatchString(to.Bank) || !accountNumber.MatchString(to.Account) {
		return nil, ErrParty
	}
	if err := a.debit(amount); err != nil {
		return nil, err
	}
	return []Event{PaymentRequested{Payment: id, To: to, Amount: amount}}, nil
}

// SettlePayment records that the other bank has the money.
func (a *Account) SettlePayment(id string) ([]Event, error) {
	p, ok := a.Payments[id]
	if !ok || p.Rejected {
		return nil, ErrNoPayment
	}
	return []Event{PaymentSettled{Payment: id, To: p.To, Amount: p.Amount}}, nil
}

// RejectPayment records that the other bank does not take it.
func (a *Account) RejectPayment(id, reason string) ([]Event, error) {
	p, ok := a.Payments[id]
	if !ok || p.Rejected {
		return nil, ErrNoPayment
	}
	return []Event{PaymentRejected{Payment: id, Reason: reason}}, nil
}

// RefundPayment puts the money of a rejected payment back, also into a frozen
// account.
func (a *Account) RefundPayment(id string) ([]Event, error) {
	p, ok := a.Payments[id]
	if !ok || !p.Rejected {
		return nil, ErrNoPayment
	}
	if _, err := a.Balance.Add(p.Amount); err != nil {
		return nil, err
	}
	return []Event{PaymentRefunded{Payment: id, Amount: p.Amount}}, nil
}

// applyPayment folds a step of a payment. The map is never changed in place, so
// that a copy of the state stays what it was.
func (a *Account) applyPayment(step PaymentStep) {
	payments := maps.Clone(a.Payments)
	if payments == nil {
		payments = map[string]Payment{}
	}
	switch e := step.(type) {
	case PaymentRequested:
		payments[e.Payment] = Payment{To: e.To, Amount: e.Amount}
	case PaymentRejected:
		p := payments[e.Payment]
		p.Rejected = true
		payments[e.Payment] = p
	default:
		delete(payments, step.PaymentID())
	}
	if a.Payments = payments; len(payments) == 0 {
		a.Payments = nil
	}
}

// EventType implements [es.Event].
func (PaymentRequested) EventType() string { return "account.payment_requested" }

// EventType implements [es.Event].
func (PaymentSettled) EventType() string { return "account.payment_settled" }

// EventType implements [es.Event].
func (PaymentRejected) EventType() string { return "account.payment_rejected" }

// EventType implements [es.Event].
func (PaymentRefunded) EventType() string { return "account.payment_refunded" }

func (PaymentRequested) isAccountEvent() {}
func (PaymentSettled) isAccountEvent()   {}
func (PaymentRejected) isAccountEvent()  {}
func (PaymentRefunded) isAccountEvent()  {}

// PaymentID implements [PaymentStep].
func (e PaymentRequested) PaymentID() string { return e.Payment }

// PaymentID implements [PaymentStep].
func (e PaymentSettled) PaymentID() string { return e.Payment }

// PaymentID implements [PaymentStep].
func (e PaymentRejected) PaymentID() string { return e.Payment }

// PaymentID implements [PaymentStep].
func (e PaymentRefunded) PaymentID() string { return e.Payment }

// Change implements [Movement].
func (e PaymentRequested) Change() money.Amount { return -e.Amount }

// Change implements [Movement].
func (e PaymentRefunded) Change() money.Amount { return e.Amount }
