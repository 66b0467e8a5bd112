package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/peatlog/peat/examples/bank/ledger"
	"github.com/peatlog/peat/examples/bank/money"
)

// summary is what an import reports.
type summary struct {
	ledger.Result
	ledger.Report
	elapsed time.Duration
}

// printJSON prints the summary for programs. Money is text, because JSON numbers
// are floats to many of them.
func (s summary) printJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(struct {
		Transactions int     `json:"transactions"`
		Accounts     int     `json:"accounts"`
		AccountDays  int     `json:"account_days"`
		Exact        int     `json:"exact"`
		Within010    int     `json:"within_010"`
		Off          int     `json:"off"`
		Credited     string  `json:"credited"`
		Debited      string  `json:"debited"`
		Appended     int     `json:"appended"`
		Duplicates   int     `json:"duplicates"`
		Seconds      float64 `json:"seconds"`
	}{
		s.Transactions, s.Accounts, s.AccountDays, s.Exact, s.Rounded, len(s.Off),
		s.Credited.String(), s.Debited.String(),
		s.Appended, s.Duplicates, math.Round(s.elapsed.Seconds()*1000) / 1000,
	})
}

// maxShown is how many days that are off are shown one by one.
const maxShown = 10

// printText prints the summary for people.
func (s summary) printText(w io.Writer) error {
	rows := s.Appended + s.Duplicates
	_, err := fmt.Fprintf(w, `Imported %s rows in %.1f s (%s a second): %s new, %s duplicates.

The ledger in the store has %s transactions on %s accounts.
  credited     %15s
  debited      %15s

Its %s account-days against the balances that the bank printed:
  exact        %15s
  within 0.10  %15s  (the bank rounds)
  off          %15s
`,
		count(rows), s.elapsed.Seconds(), count(int(float64(rows)/max(s.elapsed.Seconds(), 0.001))),
		count(s.Appended), count(s.Duplicates),
		count(s.Transactions), count(s.Accounts), grouped(s.Credited), grouped(s.Debited),
		count(s.AccountDays), count(s.Exact), count(s.Rounded), count(len(s.Off)))
	for _, d := range s.Off[:min(len(s.Off), maxShown)] {
		_, err = fmt.Fprintf(w, "    account %s on %s: computed %s, printed %s\n", d.Account, d.Date, grouped(d.Computed), grouped(d.Printed))
	}
	return err
}

// count prints a number for people.
func count(n int) string {
	digits, _, _ := strings.Cut(money.Amount(n*100).Grouped(), ".")
	return digits
}
