package web

import (
	"net/http"

	"github.com/peatlog/peat/examples/bank/ledger"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/examples/bank/views"
)

type reportsPage struct {
	frame
	Books          views.Books
	Reconciliation ledger.Report
	Days           []views.Day
	Counterparties []views.Counterparty
	// Largest is what the widest bar stands for.
	Largest money.Amount
}

// Bar is how wide the bar of a day is, from 0 to 100.
func (p reportsPage) Bar(amount money.Amount) int64 { return int64(amount * 100 / max(p.Largest, 1)) }

func (s *server) reports(w http.ResponseWriter, r *http.Request) {
	p := reportsPage{frame: s.newFrame(r, "Reports", "reports", views.Accounts, views.Days, views.Counterparties, views.Reconciliation)}
	p.Events = eventsPath
	ctx, db := r.Context(), s.bank.Views
	for _, read := range []func() error{
		func() (err error) { p.Books, err = db.Books(ctx); return err },
		func() (err error) { p.Reconciliation, err = db.Reconciliation(ctx); return err },
		func() (err error) { p.Days, err = db.Days(ctx, "", 31); return err },
		func() (err error) { p.Counterparties, err = db.Counterparties(ctx, 20); return err },
	} {
		if err := read(); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	for _, d := range p.Days {
		p.Largest = max(p.Largest, d.Credited, d.Debited)
	}
	s.render(w, r, http.StatusOK, "reports", p)
}
