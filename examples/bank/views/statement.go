package views

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/subscribe"
)

var statementTables = []table{{
	name: "bank_statement",
	columns: `account text NOT NULL, version bigint NOT NULL, day text NOT NULL, recorded_at bigint NOT NULL,
		what text NOT NULL, moves bigint NOT NULL, change bigint NOT NULL, balance bigint NOT NULL, PRIMARY KEY (account, version)`,
}}

const insertLine = `
	INSERT INTO bank_statement_{g} (account, version, day, recorded_at, what, moves, change, balance)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $7 + coalesce(
		(SELECT balance FROM bank_statement_{g} WHERE account = $1 AND version < $2 ORDER BY version DESC LIMIT 1), 0))`

var statementHandler = subscribe.EachIn(account.Accounts.Events(), func(ctx context.Context, tx Tx, e es.Envelope[account.Event]) error {
	moves, change := 0, money.Amount(0)
	if m, ok := e.Event.(account.Movement); ok {
		moves, change = 1, m.Change()
	}
	return tx.Exec(ctx, insertLine, e.Stream.Key, e.Version, dayOf(e), e.RecordedAt.UnixMicro(), account.Describe(e.Event), moves, change)
})

// dayOf returns the day that an event belongs to: that of the ledger, or that of the
// record.
func dayOf(e es.Envelope[account.Event]) string {
	if p, ok := e.Event.(account.Posting); ok {
		return string(p.Posted().Date)
	}
	return string(account.DateOf(e.RecordedAt.UTC()))
}

// Line is a line of a statement.
type Line struct {
	Version    int64
	Day        account.Date
	RecordedAt time.Time
	What       string
	// Moves tells that it moves money: Change.
	Moves           bool
	Change, Balance money.Amount
}

// Statement returns the lines of an account below a version, the newest first. 0 is
// no bound.
func (db *DB) Statement(ctx context.Context, id string, below int64, limit int) ([]Line, error) {
	return collect(ctx, db.reads, func(scan Scan) (l Line, err error) {
		var at, moves int64
		err = scan(&l.Version, &l.Day, &at, &l.What, &moves, &l.Change, &l.Balance)
		l.RecordedAt, l.Moves = time.UnixMicro(at).UTC(), moves == 1
		return l, err
	}, `SELECT version, day, recorded_at, what, moves, change, balance FROM bank_statement
		WHERE account = $1 AND ($2 = 0 OR version < $2) ORDER BY version DESC LIMIT $3`, id, below, limit)
}

// Closing is the balance at the end of a day on which something moved.
type Closing struct {
	Day     account.Date
	Balance money.Amount
}

// chartLines bounds what a chart is drawn from.
const chartLines = 2000

// Closings returns the last closing balances of an account, in order.
func (db *DB) Closings(ctx context.Context, id string) ([]Closing, error) {
	lines, err := collect(ctx, db.reads, func(scan Scan) (c Closing, err error) {
		return c, scan(&c.Day, &c.Balance)
	}, "SELECT day, balance FROM bank_statement WHERE account = $1 AND moves = 1 ORDER BY version DESC LIMIT $2", id, chartLines)
	if err != nil {
		return nil, err
	}
	// Newest first, so of each day the first line is the one to keep.
	lines = slices.CompactFunc(lines, func(a, b Closing) bool { return a.Day == b.Day })
	slices.Reverse(lines)
	return lines, nil
}

// pattern makes a search term one for LIKE, in lower case.
func pattern(search string) string {
	if search == "" {
		return ""
	}
	return "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(strings.ToLower(search)) + "%"
}
