package views

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
)

// The books of the bank, with double entry: each movement leaves one place and
// arrives at another, so that all places together hold nothing, and money that is
// lost or made out of nothing shows.
var bookTables = []table{
	{name: "bank_books", columns: "place text PRIMARY KEY, amount bigint NOT NULL"},
	{name: "bank_transit", columns: "transfer text PRIMARY KEY, amount bigint NOT NULL, since bigint NOT NULL"},
	{name: "bank_findings", columns: "account text NOT NULL, version bigint NOT NULL, what text NOT NULL, PRIMARY KEY (account, version, what)"},
}

// The places where money is.
const (
	customers = "customers" // on the accounts
	cash      = "cash"      // outside, by the counter
	others    = "others"    // at other banks, and what interest and fees are paid from
	clearing  = "clearing"  // on the way to another bank, or back
	transit   = "transit"   // between the two halves of a transfer that were not both read yet
)

// books are the entries of a batch: how much more each place holds.
type books map[string]money.Amount

func (b books) move(amount money.Amount, from, to string) {
	b[from] -= amount
	b[to] += amount
}

// enter takes one event into the books.
func (b books) enter(ctx context.Context, tx Tx, event account.Event) error {
	switch e := event.(type) {
	case account.Deposited:
		b.move(e.Amount, cash, customers)
	case account.Withdrawn:
		b.move(e.Amount, customers, cash)
	case account.Posting:
		b.move(e.Change(), others, customers)
	case account.TransferSent:
		b.move(e.Amount, customers, transit)
		return half(ctx, tx, e.Transfer, e.Amount)
	case account.TransferReceived:
		b.move(e.Amount, transit, customers)
		return half(ctx, tx, e.Transfer, -e.Amount)
	case account.PaymentRequested:
		b.move(e.Amount, customers, clearing)
	case account.PaymentSettled:
		b.move(e.Amount, clearing, others)
	case account.PaymentRefunded:
		b.move(e.Amount, clearing, customers)
	}
	return nil
}

// half remembers one half of a transfer until the other one comes. The two are in
// one transaction, but not in one batch.
func half(ctx context.Context, tx Tx, transfer string, amount money.Amount) error {
	err := tx.Exec(ctx, `
		INSERT INTO bank_transit_{g} AS t (transfer, amount, since) VALUES ($1, $2, $3)
		ON CONFLICT (transfer) DO UPDATE SET amount = t.amount + excluded.amount`, transfer, amount, time.Now().UnixMicro())
	if err != nil {
		return err
	}
	return tx.Exec(ctx, "DELETE FROM bank_transit_{g} WHERE transfer = $1 AND amount = 0", transfer)
}

func (b books) write(ctx context.Context, tx Tx) error {
	for _, place := range slices.Sorted(maps.Keys(b)) {
		err := tx.Exec(ctx, `
			INSERT INTO bank_books_{g} AS b (place, amount) VALUES ($1, $2)
			ON CONFLICT (place) DO UPDATE SET amount = b.amount + excluded.amount`, place, b[place])
		if err != nil {
			return err
		}
	}
	return nil
}

// checkOrder makes a finding of an event that does not follow the one before.
func checkOrder(ctx context.Context, tx Tx, e es.Envelope[account.Event]) error {
	return tx.Exec(ctx, `
		INSERT INTO bank_findings_{g} (account, version, what)
		SELECT id, $2, 'an event is missing or out of order' FROM bank_accounts_{g} WHERE id = $1 AND version <> $3`,
		e.Stream.Key, e.Version, e.Version-1)
}

// checkLimit makes a finding of a customer's debit that goes below the limit.
func checkLimit(ctx context.Context, tx Tx, e es.Envelope[account.Event]) error {
	m, ok := e.Event.(account.Movement)
	if _, fact := e.Event.(account.Posting); !ok || fact || m.Change() >= 0 {
		return nil
	}
	return tx.Exec(ctx, `
		INSERT INTO bank_findings_{g} (account, version, what)
		SELECT id, version, 'the account is overdrawn beyond its limit' FROM bank_accounts_{g} WHERE id = $1 AND balance < -overdraft`,
		e.Stream.Key)
}

// Books are where the money is, all of one moment.
type Books struct {
	// Customers is on the accounts, by the books, and Balances the sum of the
	// accounts themselves.
	Customers, Balances money.Amount
	// Cash and Others are what came in from outside, less what went there.
	Cash, Others money.Amount
	// Clearing is on the way to other banks, Transit between two accounts: their
	// halves were not both read yet, as Halves say.
	Clearing, Transit, Halves money.Amount
	// HalfSince is when the oldest half was read, the zero time where there is none,
	// and At when the books were.
	HalfSince, At time.Time
	Accounts      int
	// Findings are rules that were broken.
	Findings []Finding
}

// Finding is a rule that was broken at an event.
type Finding struct {
	Account string
	Version int64
	What    string
}

// Sum is what there is inside and outside together, which is always nothing.
func (b Books) Sum() money.Amount {
	return b.Customers + b.Clearing + b.Transit - b.Cash - b.Others
}

// soon is within what time the other half of a transfer comes: the two were committed
// together, so they are at most a batch apart.
const soon = time.Minute

// Conserved tells that no money was lost or made, and no rule broken.
func (b Books) Conserved() bool {
	lost := !b.HalfSince.IsZero() && b.At.Sub(b.HalfSince) > soon
	return !lost && b.Sum() == 0 && b.Customers == b.Balances && b.Transit == b.Halves && len(b.Findings) == 0
}

// Books returns the books.
func (db *DB) Books(ctx context.Context) (Books, error) {
	place := func(name string) string {
		return "(SELECT coalesce(sum(amount), 0) FROM bank_books WHERE place = '" + name + "')"
	}
	// One statement, so that all of it is of one moment.
	b, err := first(ctx, db.reads, func(scan Scan) (b Books, err error) {
		var since int64
		err = scan(&b.Customers, &b.Cash, &b.Others, &b.Clearing, &b.Transit, &b.Balances, &b.Accounts, &b.Halves, &since)
		if b.At = time.Now(); since > 0 {
			b.HalfSince = time.UnixMicro(since)
		}
		return b, err
	}, "SELECT "+strings.Join([]string{
		place(customers), "-" + place(cash), "-" + place(others), place(clearing), place(transit),
		"(SELECT coalesce(sum(balance), 0) FROM bank_accounts)", "(SELECT count(*) FROM bank_accounts)",
		"(SELECT coalesce(sum(amount), 0) FROM bank_transit)", "(SELECT coalesce(min(since), 0) FROM bank_transit)",
	}, ", "))
	if err != nil {
		return Books{}, err
	}
	b.Findings, err = collect(ctx, db.reads, func(scan Scan) (f Finding, err error) {
		return f, scan(&f.Account, &f.Version, &f.What)
	}, "SELECT account, version, what FROM bank_findings ORDER BY account, version LIMIT 100")
	return b, err
}
