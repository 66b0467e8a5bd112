package web

import (
	"net/http"

	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/examples/bank/views"
)

// perPage is how many accounts or lines a page shows.
const perPage = 50

type overviewPage struct {
	frame
	Books    views.Books
	Today    views.Day
	Recent   []views.AccountRow
	Accounts []views.AccountRow
	Search   string
	// Next is the account behind which the next page begins, "" at the end.
	Next string
	// What was typed into the form, if it was refused.
	ID, Holder, Overdraft string
}

func (s *server) overview(w http.ResponseWriter, r *http.Request) {
	s.showOverview(w, r, http.StatusOK, overviewPage{frame: s.newFrame(r, "Overview", "overview", views.Accounts, views.Days)})
}

// showOverview fills in what a page that was begun lacks.
func (s *server) showOverview(w http.ResponseWriter, r *http.Request, status int, p overviewPage) {
	ctx := r.Context()
	p.Events, p.Search = eventsPath, r.URL.Query().Get("search")
	var err error
	if p.Books, err = s.bank.Views.Books(ctx); err != nil {
		s.fail(w, r, err)
		return
	}
	days, err := s.bank.Views.Days(ctx, "", 1)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if len(days) > 0 {
		p.Today = days[0]
	}
	if p.Recent, err = s.bank.Views.RecentAccounts(ctx, 8); err != nil {
		s.fail(w, r, err)
		return
	}
	p.Accounts, err = s.bank.Views.AccountList(ctx, views.AccountList{After: r.URL.Query().Get("after"), Search: p.Search, Limit: perPage + 1})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if len(p.Accounts) > perPage {
		p.Accounts = p.Accounts[:perPage]
		p.Next = p.Accounts[perPage-1].ID
	}
	s.render(w, r, status, "overview", p)
}

// open opens an account.
func (s *server) open(w http.ResponseWriter, r *http.Request) {
	p := overviewPage{ID: r.PostFormValue("id"), Holder: r.PostFormValue("holder"), Overdraft: r.PostFormValue("overdraft")}
	overdraft := money.Amount(0)
	var err error
	if p.Overdraft != "" {
		overdraft, err = money.Parse(p.Overdraft)
	}
	if err == nil {
		receipt, failed := s.bank.Execute(r.Context(), command(r, "open "+p.Holder+" "+overdraft.String()), p.ID,
			func(a *account.Account) ([]account.Event, error) { return a.Open(p.Holder, overdraft) })
		if failed == nil {
			to(w, r, "/accounts/"+p.ID, "open", receipt)
			return
		}
		err = failed
	}
	status, problem := s.explain(r.Context(), err)
	p.frame = s.newFrame(r, "Overview", "overview")
	p.Problem = problem
	s.showOverview(w, r, status, p)
}
