package ledger

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
)

// rounding is how far the bank's rounding takes a day's closing balance from
// the sum of its movements.
const rounding money.Amount = 10

// Report is the outcome of [Reconcile].
type Report struct {
	Transactions, Accounts, AccountDays int
	// Exact and Rounded count the days that close with the balance that the
	// bank printed, and those that miss it by at most 0.10.
	Exact, Rounded int
	// Off are the days that miss it by more, by account and date.
	Off []Difference
	// Credited and Debited are the sums of all movements, both positive.
	Credited, Debited money.Amount
}

// Difference is an account's day that does not close with the printed balance.
type Difference struct {
	Account           string
	Date              account.Date
	Computed, Printed money.Amount
}

// Reconcile reads all postings back from the store and compares, per account and
// day, the last closing balance plus the day's movements with the nearest of
// the balances that the bank printed that day. From that printed balance the
// account's next day starts, the first day from 0.
//
// The nearest one, because the rows of a day are in no particular order, so none
// of them is known to be the last. It holds one number per day and row in memory.
func Reconcile(ctx context.Context, log es.LogReader) (Report, error) {
	report, books := Report{}, map[string]book{}
	for rec, err := range log.ReadAll(ctx, es.ReadAllOptions{Category: account.Accounts.Category()}) {
		if err != nil {
			return Report{}, err
		}
		env, err := es.Decode(account.Events, rec)
		if err != nil {
			return Report{}, err
		}
		posting, ok := env.Event.(account.Posting)
		if !ok {
			continue // what customers do through this program is not in the ledger
		}
		if books[rec.Stream.Key] == nil {
			books[rec.Stream.Key] = book{}
		}
		books[rec.Stream.Key].add(posting)
		report.count(posting)
	}
	report.Accounts = len(books)
	for _, number := range slices.Sorted(maps.Keys(books)) {
		report.closeDays(number, books[number])
	}
	return report, nil
}

// book holds the days of one account.
type book map[account.Date]day

// day is what happened in one account on one day.
type day struct {
	change  money.Amount
	printed []money.Amount
}

func (b book) add(p account.Posting) {
	entry := p.Posted()
	d := b[entry.Date]
	d.change += p.Change()
	d.printed = append(d.printed, entry.Printed)
	b[entry.Date] = d
}

// Closing returns the balance that a day closes with: of those that the bank printed
// that day, the one that is nearest to the computed one, of two equally near ones the
// lower.
func Closing(computed money.Amount, printed []money.Amount) money.Amount {
	return slices.MinFunc(printed, func(a, b money.Amount) int {
		return cmp.Or(cmp.Compare((a-computed).Abs(), (b-computed).Abs()), cmp.Compare(a, b))
	})
}

func (r *Report) count(p account.Posting) {
	r.Transactions++
	if change := p.Change(); change > 0 {
		r.Credited += change
	} else {
		r.Debited -= change
	}
}

func (r *Report) closeDays(number string, b book) {
	closing := money.Amount(0)
	for _, date := range slices.Sorted(maps.Keys(b)) {
		computed := closing + b[date].change
		closing = Closing(computed, b[date].printed)
		r.Day(Difference{Account: number, Date: date, Computed: computed, Printed: closing})
	}
}

// Day counts one day of an account.
func (r *Report) Day(d Difference) {
	r.AccountDays++
	switch off := (d.Printed - d.Computed).Abs(); {
	case off == 0:
		r.Exact++
	case off <= rounding:
		r.Rounded++
	default:
		r.Off = append(r.Off, d)
	}
}
