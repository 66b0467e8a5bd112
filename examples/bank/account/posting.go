package account

import "github.com/peatlog/peat/examples/bank/money"

// Posting is an event that a bank's ledger reports. It is a fact: no rule of the
// account can refuse it.
type Posting interface {
	Movement
	// Posted returns what all postings have in common.
	Posted() Entry
}

// Entry is what the ledger says of every posting.
type Entry struct {
	// Transaction is the ledger's number for it.
	Transaction int64 `json:"transaction"`
	// Date is the day of the posting. The ledger has no time of day.
	Date Date `json:"date"`
	// Amount is never negative; the kind of posting says which way it goes.
	Amount money.Amount `json:"amount"`
	// Printed is the balance that the bank printed behind the posting. The
	// bank rounds, so it may differ from the sum of the amounts.
	Printed money.Amount `json:"printed"`
}

// Posted returns the entry itself. Postings embed an Entry to have this method.
func (e Entry) Posted() Entry { return e }

// Party is an account at another bank.
type Party struct {
	Bank    string `json:"bank"`
	Account string `json:"account"`
}

// Purpose is what a payment was for; "" where the ledger does not say.
type Purpose string

// The purposes that the ledger knows.
const (
	Household Purpose = "household"
	Insurance Purpose = "insurance"
	Loan      Purpose = "loan"
	Pension   Purpose = "pension"
)

// CashDeposited is cash paid in at the counter.
type CashDeposited struct{ Entry }

// CashWithdrawn is cash paid out at the counter.
type CashWithdrawn struct {
	Entry
	Purpose Purpose `json:"purpose,omitempty"`
}

// CardWithdrawn is cash drawn with a card.
type CardWithdrawn struct{ Entry }

// PaymentReceived is a transfer from another bank.
type PaymentReceived struct {
	Entry
	From    Party   `json:"from"`
	Purpose Purpose `json:"purpose,omitempty"`
}

// PaymentSent is a transfer to another bank.
type PaymentSent struct {
	Entry
	To      Party   `json:"to"`
	Purpose Purpose `json:"purpose,omitempty"`
}

// InterestCredited is interest on a positive balance.
type InterestCredited struct{ Entry }

// PenaltyInterestCharged is interest on a negative balance.
type PenaltyInterestCharged struct{ Entry }

// StatementFeeCharged is the price of the printed statement.
type StatementFeeCharged struct{ Entry }

// EventType implements [es.Event].
func (CashDeposited) EventType() string { return "account.cash_deposited" }

// EventType implements [es.Event].
func (CashWithdrawn) EventType() string { return "account.cash_withdrawn" }

// EventType implements [es.Event].
func (CardWithdrawn) EventType() string { return "account.card_withdrawn" }

// EventType implements [es.Event].
func (PaymentReceived) EventType() string { return "account.payment_received" }

// EventType implements [es.Event].
func (PaymentSent) EventType() string { return "account.payment_sent" }

// EventType implements [es.Event].
func (InterestCredited) EventType() string { return "account.interest_credited" }

// EventType implements [es.Event].
func (PenaltyInterestCharged) EventType() string { return "account.penalty_interest_charged" }

// EventType implements [es.Event].
func (StatementFeeCharged) EventType() string { return "account.statement_fee_charged" }

// One method for all of them: whatever embeds an Entry is an event of an account.
func (Entry) isAccountEvent() {}

// Change implements [Movement].
func (e CashDeposited) Change() money.Amount { return e.Amount }

// Change implements [Movement].
func (e CashWithdrawn) Change() money.Amount { return -e.Amount }

// Change implements [Movement].
func (e CardWithdrawn) Change() money.Amount { return -e.Amount }

// Change implements [Movement].
func (e PaymentReceived) Change() money.Amount { return e.Amount }

// Change implements [Movement].
func (e PaymentSent) Change() money.Amount { return -e.Amount }

// Change implements [Movement].
func (e InterestCredited) Change() money.Amount { return e.Amount }

// Change implements [Movement].
func (e PenaltyInterestCharged) Change() money.Amount { return -e.Amount }

// Change implements [Movement].
func (e StatementFeeCharged) Change() money.Amount { return -e.Amount }
