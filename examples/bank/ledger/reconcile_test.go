package ledger_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/ledger"
	"github.com/peatlog/peat/examples/bank/money"
)

// imported returns the report of a store with these rows, in which customers
// are active too.
func imported(t *testing.T, rows ...string) ledger.Report {
	t.Helper()
	store := newStore(t)
	repo := account.NewRepository(store)
	text := header + strings.Join(rows, "\n")
	if _, err := ledger.Import(t.Context(), repo, ledger.Read("f.csv", strings.NewReader(text)), ledger.Options{}); err != nil {
		t.Fatal(err)
	}
	_, err := repo.Execute(t.Context(), "1", func(a *account.Account) ([]account.Event, error) { return a.Deposit(5) })
	if err != nil {
		t.Fatal(err)
	}
	return reconcile(t, store)
}

const (
	in  = ";PRIJEM;VKLAD;"
	out = ";VYDAJ;VYBER;"
)

func TestReconcile(t *testing.T) {
	t.Parallel()
	off := func(date account.Date, computed, printed money.Amount) []ledger.Difference {
		return []ledger.Difference{{Account: "1", Date: date, Computed: computed, Printed: printed}}
	}
	for name, c := range map[string]struct {
		rows []string
		want ledger.Report
	}{
		"a day starts where the last one was printed to close": {
			[]string{"1;1;930101" + in + "1.00;1.10;;;", "2;1;930103" + in + "1.00;2.10;;;"},
			ledger.Report{Transactions: 2, AccountDays: 2, Exact: 1, Rounded: 1, Credited: 2_00},
		},
		"the rows of a day are in no order": {
			[]string{"1;1;930101" + out + "1.00;2.00;;;", "2;1;930101" + in + "3.00;3.00;;;"},
			ledger.Report{Transactions: 2, AccountDays: 1, Exact: 1, Credited: 3_00, Debited: 1_00},
		},
		"neither are the days": {
			[]string{"1;1;930102" + in + "1.00;3.00;;;", "2;1;930101" + in + "2.00;2.00;;;"},
			ledger.Report{Transactions: 2, AccountDays: 2, Exact: 2, Credited: 3_00},
		},
		"0.10 is rounding": {
			[]string{"1;1;930101" + out + "1.00;-1.10;;;"},
			ledger.Report{Transactions: 1, AccountDays: 1, Rounded: 1, Debited: 1_00},
		},
		"0.11 is off": {
			[]string{"1;1;930101" + out + "1.00;-1.11;;;"},
			ledger.Report{Transactions: 1, AccountDays: 1, Off: off("1993-01-01", -1_00, -1_11), Debited: 1_00},
		},
		"of two equally near the lower": {
			[]string{"1;1;930101" + in + "1.00;3.00;;;", "2;1;930101" + in + "1.00;1.00;;;"},
			ledger.Report{Transactions: 2, AccountDays: 1, Off: off("1993-01-01", 2_00, 1_00), Credited: 2_00},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.want.Accounts = 1
			if diff := cmp.Diff(c.want, imported(t, c.rows...)); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnEmptyStoreReconciles(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(ledger.Report{}, reconcile(t, newStore(t))); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}
