package views

import (
	"context"
	"maps"
	"slices"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/ledger"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/subscribe"
)

// The report of ledger.Reconcile, kept up to date: the postings, and for each day of
// an account what it should close with and what the bank printed.
var reconciliationTables = []table{{
	name: "bank_postings",
	columns: `account text NOT NULL, version bigint NOT NULL, day text NOT NULL, change bigint NOT NULL, printed bigint NOT NULL,
		PRIMARY KEY (account, version)`,
	index: "account, day",
}, {
	name:    "bank_account_days",
	columns: "account text NOT NULL, day text NOT NULL, computed bigint NOT NULL, printed bigint NOT NULL, PRIMARY KEY (account, day)",
}}

// The day of a posting closes anew, and all later ones, as each begins with the
// balance of the one before. That needs reading, so this handler asks.
var reconciliationHandler = subscribe.BatchIn(account.Accounts.Events(), func(ctx context.Context, tx AskingTx, batch []es.Envelope[account.Event]) error {
	from := map[string]account.Date{} // by account, the first day that changed
	for _, e := range batch {
		p, ok := e.Event.(account.Posting)
		if !ok {
			continue
		}
		entry := p.Posted()
		if day, ok := from[e.Stream.Key]; !ok || entry.Date < day {
			from[e.Stream.Key] = entry.Date
		}
		err := tx.Exec(ctx, "INSERT INTO bank_postings_{g} (account, version, day, change, printed) VALUES ($1, $2, $3, $4, $5)",
			e.Stream.Key, e.Version, string(entry.Date), p.Change(), entry.Printed)
		if err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(from)) {
		if err := closeDays(ctx, tx, id, from[id]); err != nil {
			return err
		}
	}
	return nil
})

// closeDays does the sums of an account from a day on.
func closeDays(ctx context.Context, tx AskingTx, id string, from account.Date) error {
	closing := money.Amount(0)
	err := tx.Query(ctx, func(scan Scan) error { return scan(&closing) },
		"SELECT printed FROM bank_account_days_{g} WHERE account = $1 AND day < $2 ORDER BY day DESC LIMIT 1", id, string(from))
	if err != nil {
		return err
	}
	var order []string
	changes, printed := map[string]money.Amount{}, map[string][]money.Amount{}
	err = tx.Query(ctx, func(scan Scan) error {
		var day string
		var change, balance money.Amount
		if err := scan(&day, &change, &balance); err != nil {
			return err
		}
		if printed[day] == nil {
			order = append(order, day)
		}
		changes[day] += change
		printed[day] = append(printed[day], balance)
		return nil
	}, "SELECT day, change, printed FROM bank_postings_{g} WHERE account = $1 AND day >= $2 ORDER BY day", id, string(from))
	if err != nil {
		return err
	}
	for _, day := range order {
		computed := closing + changes[day]
		closing = ledger.Closing(computed, printed[day])
		err := tx.Exec(ctx, `
			INSERT INTO bank_account_days_{g} (account, day, computed, printed) VALUES ($1, $2, $3, $4)
			ON CONFLICT (account, day) DO UPDATE SET computed = excluded.computed, printed = excluded.printed`,
			id, day, computed, closing)
		if err != nil {
			return err
		}
	}
	return nil
}

// Reconciliation returns the report. Of the days that are off it has all.
func (db *DB) Reconciliation(ctx context.Context) (ledger.Report, error) {
	report, err := first(ctx, db.reads, func(scan Scan) (r ledger.Report, err error) {
		return r, scan(&r.Transactions, &r.Accounts, &r.Credited, &r.Debited)
	}, `SELECT count(*), count(DISTINCT account), coalesce(sum(CASE WHEN change > 0 THEN change ELSE 0 END), 0),
		coalesce(sum(CASE WHEN change < 0 THEN -change ELSE 0 END), 0) FROM bank_postings`)
	if err != nil {
		return report, err
	}
	days, err := collect(ctx, db.reads, func(scan Scan) (d ledger.Difference, err error) {
		return d, scan(&d.Account, &d.Date, &d.Computed, &d.Printed)
	}, "SELECT account, day, computed, printed FROM bank_account_days ORDER BY account, day")
	for _, d := range days {
		report.Day(d)
	}
	return report, err
}
