package views

import (
	"context"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/subscribe"
)

var counterpartyTables = []table{{
	name: "bank_counterparties",
	columns: `bank text NOT NULL, account text NOT NULL, received bigint NOT NULL, sent bigint NOT NULL, payments bigint NOT NULL,
		PRIMARY KEY (bank, account)`,
}}

var counterpartiesHandler = subscribe.EachIn(account.Accounts.Events(), func(ctx context.Context, tx Tx, e es.Envelope[account.Event]) error {
	var party account.Party
	var received, sent money.Amount
	switch event := e.Event.(type) {
	case account.PaymentReceived:
		party, received = event.From, event.Amount
	case account.PaymentSent:
		party, sent = event.To, event.Amount
	case account.PaymentSettled: // a rejected one has moved nothing
		party, sent = event.To, event.Amount
	default:
		return nil
	}
	return tx.Exec(ctx, `
		INSERT INTO bank_counterparties_{g} AS c (bank, account, received, sent, payments) VALUES ($1, $2, $3, $4, 1)
		ON CONFLICT (bank, account) DO UPDATE SET received = c.received + excluded.received,
			sent = c.sent + excluded.sent, payments = c.payments + 1`,
		party.Bank, party.Account, received, sent)
})

// Counterparty is an account at another bank that money came from or went to.
type Counterparty struct {
	account.Party
	Received, Sent money.Amount
	Payments       int64
}

// Counterparties returns those with the largest turnover.
func (db *DB) Counterparties(ctx context.Context, limit int) ([]Counterparty, error) {
	return collect(ctx, db.reads, func(scan Scan) (c Counterparty, err error) {
		return c, scan(&c.Bank, &c.Account, &c.Received, &c.Sent, &c.Payments)
	}, `SELECT bank, account, received, sent, payments FROM bank_counterparties
		ORDER BY received + sent DESC, bank, account LIMIT $1`, limit)
}
