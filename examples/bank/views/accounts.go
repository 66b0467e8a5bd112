package views

import (
	"context"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/subscribe"
)

// The overview and the books are one projection, so that they are always of the
// same moment and the one can be checked against the other.
var accountTables = append([]table{{
	name: "bank_accounts",
	columns: `id text PRIMARY KEY, holder text NOT NULL, status text NOT NULL, balance bigint NOT NULL,
		overdraft bigint NOT NULL, version bigint NOT NULL, updated_at bigint NOT NULL`,
	index: "length(id), id",
}}, bookTables...)

const (
	insertAccount = `
		INSERT INTO bank_accounts_{g} (id, holder, status, balance, overdraft, version, updated_at)
		VALUES ($1, $2, 'open', 0, $3, $4, $5)`
	updateAccount = `
		UPDATE bank_accounts_{g}
		SET balance = balance + $2, status = CASE WHEN $3 = '' THEN status ELSE $3 END, version = $4, updated_at = $5
		WHERE id = $1`
)

var accountsHandler = subscribe.BatchIn(account.Accounts.Events(), func(ctx context.Context, tx Tx, batch []es.Envelope[account.Event]) error {
	books := books{}
	for _, e := range batch {
		if err := checkOrder(ctx, tx, e); err != nil {
			return err
		}
		if err := updateOverview(ctx, tx, e); err != nil {
			return err
		}
		if err := checkLimit(ctx, tx, e); err != nil {
			return err
		}
		if err := books.enter(ctx, tx, e.Event); err != nil {
			return err
		}
	}
	return books.write(ctx, tx)
})

func updateOverview(ctx context.Context, tx Tx, e es.Envelope[account.Event]) error {
	if opened, ok := e.Event.(account.Opened); ok {
		return tx.Exec(ctx, insertAccount, e.Stream.Key, opened.Holder, opened.Overdraft, e.Version, e.RecordedAt.UnixMicro())
	}
	change, status := money.Amount(0), account.Unopened
	switch event := e.Event.(type) {
	case account.Movement:
		change = event.Change()
	case account.Frozen:
		status = account.Locked
	case account.Unfrozen:
		status = account.Open
	case account.Closed:
		status = account.Shut
	}
	return tx.Exec(ctx, updateAccount, e.Stream.Key, change, string(status), e.Version, e.RecordedAt.UnixMicro())
}

// AccountRow is an account in the overview.
type AccountRow struct {
	ID, Holder string
	Status     account.Status
	Balance    money.Amount
	Overdraft  money.Amount
	// Version is that of the account's stream.
	Version   int64
	UpdatedAt time.Time
}

// Available is what can be taken out.
func (r AccountRow) Available() money.Amount {
	if r.Status != account.Open {
		return 0
	}
	state := account.Account{Balance: r.Balance, Overdraft: r.Overdraft}
	return state.Available()
}

func readAccount(scan Scan) (r AccountRow, err error) {
	var at int64
	err = scan(&r.ID, &r.Holder, &r.Status, &r.Balance, &r.Overdraft, &r.Version, &at)
	r.UpdatedAt = time.UnixMicro(at).UTC()
	return r, err
}

// Account returns an account, or sql.ErrNoRows.
func (db *DB) Account(ctx context.Context, id string) (AccountRow, error) {
	return first(ctx, db.reads, readAccount, `
		SELECT id, holder, status, balance, overdraft, version, updated_at FROM bank_accounts WHERE id = $1`, id)
}

// AccountList selects accounts. The zero value is all of them.
type AccountList struct {
	// After is the number of the account behind which to begin.
	After string
	// Search is a part of the number or of the holder, in either case.
	Search string
	// Limit is the largest number of accounts.
	Limit int
}

// AccountList returns accounts in the order of their numbers, short ones first.
func (db *DB) AccountList(ctx context.Context, l AccountList) ([]AccountRow, error) {
	return collect(ctx, db.reads, readAccount, `
		SELECT id, holder, status, balance, overdraft, version, updated_at FROM bank_accounts
		WHERE (length(id), id) > (length($1), $1)
		AND ($2 = '' OR lower(id) LIKE $2 ESCAPE '\' OR lower(holder) LIKE $2 ESCAPE '\')
		ORDER BY length(id), id LIMIT $3`, l.After, pattern(l.Search), l.Limit)
}

// RecentAccounts returns the accounts that something has happened to last.
func (db *DB) RecentAccounts(ctx context.Context, limit int) ([]AccountRow, error) {
	return collect(ctx, db.reads, readAccount, `
		SELECT id, holder, status, balance, overdraft, version, updated_at FROM bank_accounts
		ORDER BY updated_at DESC, id LIMIT $1`, limit)
}
