//go:build unix

package e2e_test

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/ledger"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/examples/bank/service"
	"github.com/peatlog/peat/examples/bank/views"
)

// part returns the lines of the shipped ledger that belong to every n-th account.
func part(t *testing.T, n int) []ledger.Row {
	t.Helper()
	file, err := os.Open("../testdata/czech-bank-1993.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only read
	var rows []ledger.Row
	for row, err := range ledger.Read(file.Name(), file) {
		if err != nil {
			t.Fatal(err)
		}
		if number, err := strconv.Atoi(row.Account); err == nil && number%n == 2 {
			rows = append(rows, row)
		}
	}
	return rows
}

// The read models say what a scan of the whole log says.
func TestTheReadModelsAgreeWithTheLog(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, address string) {
		s := serve(t, address)
		rows := part(t, 40)
		_, err := ledger.Import(t.Context(), s.Bank.Accounts, func(yield func(ledger.Row, error) bool) {
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
		}, ledger.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s.open(t, "ann", 500_00)
		for _, bank := range []string{"YZ", "ZZ"} {
			if _, _, err := s.Bank.Pay(t.Context(), service.Command{}, "ann", account.Party{Bank: bank, Account: "1"}, 7_00); err != nil {
				t.Fatal(err)
			}
		}
		until(t, "the payments are through", func() (bool, error) {
			all, err := s.Bank.Views.Payments(t.Context(), 9)
			return len(all) == 2 && all[0].State == views.Refunded && all[1].State == views.Settled, err
		})
		s.settle(t)
		s.compare(t)

		// And so they do when all of them have been built again.
		for _, name := range []string{views.Accounts, views.Statement, views.Days, views.Counterparties, views.Payments, views.Reconciliation} {
			if _, err := s.Bank.Rebuild(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		s.settle(t)
		s.compare(t)
	})
}

// compare compares the read models with what the log says.
func (s *server) compare(t *testing.T) {
	t.Helper()
	states, lines := map[string]*account.Account{}, map[string]int{}
	days, parties := map[account.Date]views.Day{}, map[account.Party]views.Counterparty{}
	for rec, err := range s.Bank.Log.ReadAll(t.Context(), es.ReadAllOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := es.Decode(account.Events, rec)
		if err != nil {
			t.Fatal(err)
		}
		id := rec.Stream.Key
		if states[id] == nil {
			states[id] = new(account.Account)
		}
		states[id].Apply(e.Event)
		lines[id]++
		if m, ok := e.Event.(account.Movement); ok {
			name := account.DateOf(rec.RecordedAt.UTC())
			if p, ok := e.Event.(account.Posting); ok {
				name = p.Posted().Date
			}
			day := days[name]
			day.Day, day.Movements = name, day.Movements+1
			if m.Change() > 0 {
				day.Credited += m.Change()
			} else {
				day.Debited -= m.Change()
			}
			days[name] = day
		}
		switch event := e.Event.(type) {
		case account.PaymentReceived:
			addTo(parties, event.From, event.Amount, 0)
		case account.PaymentSent:
			addTo(parties, event.To, 0, event.Amount)
		case account.PaymentSettled:
			addTo(parties, event.To, 0, event.Amount)
		}
	}
	overview, err := s.Bank.Views.AccountList(t.Context(), views.AccountList{Limit: 10_000})
	if err != nil || len(overview) != len(states) {
		t.Errorf("%d accounts, want %d, %v", len(overview), len(states), err)
	}
	for _, row := range overview {
		state := states[row.ID]
		if row.Balance != state.Balance || row.Status != state.Status || row.Version != state.Version || row.Holder != state.Holder {
			t.Errorf("account %s: %+v, want %+v", row.ID, row, state)
		}
	}
	for range 20 {
		id := overview[rand.IntN(len(overview))].ID
		statement, err := s.Bank.Views.Statement(t.Context(), id, 0, 10_000)
		if err != nil || len(statement) != lines[id] || statement[0].Balance != states[id].Balance {
			t.Errorf("the statement of %s: %d lines, want %d, down to %v, want %v, %v", id, len(statement), lines[id], statement[0].Balance, states[id].Balance, err)
		}
	}
	gotDays, err := s.Bank.Views.Days(t.Context(), "", 10_000)
	wantDays := slices.SortedFunc(maps.Values(days), func(a, b views.Day) int { return strings.Compare(string(b.Day), string(a.Day)) })
	if diff := cmp.Diff(wantDays, gotDays); diff != "" || err != nil {
		t.Errorf("days (-want +got), %v:\n%s", err, diff)
	}
	got, err := s.Bank.Views.Counterparties(t.Context(), 10_000)
	if err != nil || len(got) != len(parties) {
		t.Errorf("%d counterparties, want %d, %v", len(got), len(parties), err)
	}
	for _, c := range got {
		if c != parties[c.Party] {
			t.Errorf("%+v, want %+v", c, parties[c.Party])
		}
	}
	wantReport, err := ledger.Reconcile(t.Context(), s.Bank.Log)
	if err != nil {
		t.Fatal(err)
	}
	report, err := s.Bank.Views.Reconciliation(t.Context())
	if diff := cmp.Diff(wantReport, report); diff != "" || err != nil {
		t.Errorf("reconciliation (-want +got), %v:\n%s", err, diff)
	}
	books, err := s.Bank.Views.Books(t.Context())
	if err != nil || !books.Conserved() || books.Clearing != 0 || books.Cash != 500_00 {
		t.Errorf("the books: %+v, %v", books, err)
	}
}

func addTo(parties map[account.Party]views.Counterparty, p account.Party, received, sent money.Amount) {
	c := parties[p]
	c.Party, c.Received, c.Sent, c.Payments = p, c.Received+received, c.Sent+sent, c.Payments+1
	parties[p] = c
}

// The books notice what no rule of the accounts would let happen.
func TestTheBooksNoticeMoneyThatIsLostOrMade(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, address string) {
		s := serve(t, address)
		for _, id := range []string{"ann", "bob"} {
			s.open(t, id, 100_00)
		}
		forge := func(id string, events ...es.EventData) {
			stream := es.StreamID{Category: "account", Key: id}
			if _, err := s.Bank.Log.Append(t.Context(), stream, es.Any, events...); err != nil {
				t.Fatal(err)
			}
			s.settle(t)
		}
		s.settle(t)
		books := func() views.Books {
			b, err := s.Bank.Views.Books(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		if b := books(); !b.Conserved() || b.Transit != 0 {
			t.Errorf("at the beginning: %+v", b)
		}
		// Half of a transfer is money that is on its way for ever.
		forge("ann", es.EventData{Type: "account.transfer_sent", Data: []byte(`{"transfer":"lost","to":"bob","amount":1000}`)})
		b := books()
		if b.Transit != 10_00 || b.Halves != 10_00 || !b.Conserved() {
			t.Errorf("after half of a transfer: %+v", b)
		}
		if b.At = b.At.Add(time.Hour); b.Conserved() {
			t.Errorf("when the other half has not come for an hour: %+v", b)
		}
		forge("bob", es.EventData{Type: "account.transfer_received", Data: []byte(`{"transfer":"lost","from":"ann","amount":1000}`)})
		if b := books(); b.Transit != 0 || !b.Conserved() {
			t.Errorf("after the other half: %+v", b)
		}
		forge("bob", es.EventData{Type: "account.withdrawn", Data: []byte(`{"amount":999900}`)})
		if b := books(); b.Conserved() || len(b.Findings) != 1 || b.Findings[0].Account != "bob" {
			t.Errorf("after a withdrawal beyond the limit: %+v", b)
		}
	})
}
