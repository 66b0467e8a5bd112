package views

import (
	"context"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/subscribe"
)

var paymentTables = []table{{
	name: "bank_payments",
	columns: `id text PRIMARY KEY, account text NOT NULL, to_bank text NOT NULL, to_account text NOT NULL, amount bigint NOT NULL,
		state text NOT NULL, reason text NOT NULL, requested_at bigint NOT NULL, updated_at bigint NOT NULL`,
	index: "requested_at",
}}

// The states of a payment to another bank.
const (
	Requested = "requested"
	Settled   = "settled"
	Rejected  = "rejected"
	Refunded  = "refunded"
)

var paymentsHandler = subscribe.EachIn(account.Accounts.Events(), func(ctx context.Context, tx Tx, e es.Envelope[account.Event]) error {
	var id, state, reason string
	switch event := e.Event.(type) {
	case account.PaymentRequested:
		return tx.Exec(ctx, `
			INSERT INTO bank_payments_{g} (id, account, to_bank, to_account, amount, state, reason, requested_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, '', $7, $7)`,
			event.Payment, e.Stream.Key, event.To.Bank, event.To.Account, event.Amount, Requested, e.RecordedAt.UnixMicro())
	case account.PaymentSettled:
		id, state = event.Payment, Settled
	case account.PaymentRejected:
		id, state, reason = event.Payment, Rejected, event.Reason
	case account.PaymentRefunded:
		id, state = event.Payment, Refunded
	default:
		return nil
	}
	return tx.Exec(ctx, `
		UPDATE bank_payments_{g} SET state = $2, reason = CASE WHEN $3 = '' THEN reason ELSE $3 END, updated_at = $4
		WHERE id = $1`, id, state, reason, e.RecordedAt.UnixMicro())
})

// Payment is a payment to another bank.
type Payment struct {
	ID, Account            string
	To                     account.Party
	Amount                 money.Amount
	State, Reason          string
	RequestedAt, UpdatedAt time.Time
}

const selectPayment = `SELECT id, account, to_bank, to_account, amount, state, reason, requested_at, updated_at FROM bank_payments `

func readPayment(scan Scan) (p Payment, err error) {
	var requested, updated int64
	err = scan(&p.ID, &p.Account, &p.To.Bank, &p.To.Account, &p.Amount, &p.State, &p.Reason, &requested, &updated)
	p.RequestedAt, p.UpdatedAt = time.UnixMicro(requested).UTC(), time.UnixMicro(updated).UTC()
	return p, err
}

// Payment returns a payment, or sql.ErrNoRows.
func (db *DB) Payment(ctx context.Context, id string) (Payment, error) {
	return first(ctx, db.reads, readPayment, selectPayment+"WHERE id = $1", id)
}

// Payments returns the newest payments.
func (db *DB) Payments(ctx context.Context, limit int) ([]Payment, error) {
	return collect(ctx, db.reads, readPayment, selectPayment+"ORDER BY requested_at DESC, id DESC LIMIT $1", limit)
}
