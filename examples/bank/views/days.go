package views

import (
	"context"
	"maps"
	"slices"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/subscribe"
)

var dayTables = []table{{
	name:    "bank_days",
	columns: "day text PRIMARY KEY, credited bigint NOT NULL, debited bigint NOT NULL, movements bigint NOT NULL",
}}

// Day is what moved on all accounts on one day. Both sums are positive.
type Day struct {
	Day               account.Date
	Credited, Debited money.Amount
	Movements         int64
}

// A batch needs one statement for each day in it, however many events it has.
var daysHandler = subscribe.BatchIn(account.Accounts.Events(), func(ctx context.Context, tx Tx, batch []es.Envelope[account.Event]) error {
	days := map[string]Day{}
	for _, e := range batch {
		m, ok := e.Event.(account.Movement)
		if !ok {
			continue
		}
		day := days[dayOf(e)]
		day.Movements++
		day.Credited += max(m.Change(), 0)
		day.Debited -= min(m.Change(), 0)
		days[dayOf(e)] = day
	}
	for _, name := range slices.Sorted(maps.Keys(days)) {
		day := days[name]
		err := tx.Exec(ctx, `
			INSERT INTO bank_days_{g} AS d (day, credited, debited, movements) VALUES ($1, $2, $3, $4)
			ON CONFLICT (day) DO UPDATE SET credited = d.credited + excluded.credited,
				debited = d.debited + excluded.debited, movements = d.movements + excluded.movements`,
			name, day.Credited, day.Debited, day.Movements)
		if err != nil {
			return err
		}
	}
	return nil
})

// Days returns the days below a day, the newest first; "" is no bound.
func (db *DB) Days(ctx context.Context, below string, limit int) ([]Day, error) {
	return collect(ctx, db.reads, func(scan Scan) (d Day, err error) {
		return d, scan(&d.Day, &d.Credited, &d.Debited, &d.Movements)
	}, `SELECT day, credited, debited, movements FROM bank_days
		WHERE $1 = '' OR day < $1 ORDER BY day DESC LIMIT $2`, below, limit)
}
