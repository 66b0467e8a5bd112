package web

import (
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/examples/bank/views"
)

type accountPage struct {
	frame
	views.AccountRow
	Lines []views.Line
	Chart chart
	// Next is the version below which the next page begins, 0 at the end.
	Next int64
	// What was typed into the form, if it was refused.
	Amount, Reason string
}

func (s *server) account(w http.ResponseWriter, r *http.Request) {
	s.showAccount(w, r, http.StatusOK, accountPage{frame: s.newFrame(r, "", "overview", views.Accounts, views.Statement)})
}

// showAccount fills in what a page that was begun lacks.
func (s *server) showAccount(w http.ResponseWriter, r *http.Request, status int, p accountPage) {
	ctx, id := r.Context(), r.PathValue("id")
	row, err := s.bank.Views.Account(ctx, id)
	if p.Problem != "" && errors.Is(err, sql.ErrNoRows) { // it is not in the overview, or not yet
		p.Title = "Account " + id
		s.render(w, r, status, "error", p.frame)
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p.AccountRow, p.Title, p.Events = row, "Account "+id, eventsPath+"?account="+url.QueryEscape(id)
	below, _ := strconv.ParseInt(r.URL.Query().Get("below"), 10, 64) // 0 for none
	if p.Lines, err = s.bank.Views.Statement(ctx, id, below, perPage+1); err != nil {
		s.fail(w, r, err)
		return
	}
	if len(p.Lines) > perPage {
		p.Lines = p.Lines[:perPage]
		p.Next = p.Lines[perPage-1].Version
	}
	closings, err := s.bank.Views.Closings(ctx, id)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p.Chart = newChart(closings)
	s.render(w, r, status, "account", p)
}

// onAccount runs a command on one account.
func (s *server) onAccount(w http.ResponseWriter, r *http.Request) {
	id, name := r.PathValue("id"), r.PathValue("command")
	p := accountPage{Amount: r.PostFormValue("amount"), Reason: r.PostFormValue("reason")}
	decide, request, err := decision(name, p)
	if err == nil && decide == nil {
		s.notFound(w, r)
		return
	}
	if err == nil {
		receipt, failed := s.bank.Execute(r.Context(), command(r, request), id, decide)
		if failed == nil {
			to(w, r, "/accounts/"+id, name, receipt)
			return
		}
		err = failed
	}
	status, problem := s.explain(r.Context(), err)
	p.frame = s.newFrame(r, "", "overview")
	p.Problem = problem
	s.showAccount(w, r, status, p)
}

// decision returns the decision of a form, and in words what is asked for.
func decision(name string, p accountPage) (decide func(*account.Account) ([]account.Event, error), request string, err error) {
	amount := money.Amount(0)
	switch name {
	case "deposit", "withdraw":
		if amount, err = money.Parse(p.Amount); err != nil {
			return nil, "", err
		}
		request = fmt.Sprintf("%s %s", name, amount)
	default:
		request = name + " " + p.Reason
	}
	switch name {
	case "deposit":
		decide = func(a *account.Account) ([]account.Event, error) { return a.Deposit(amount) }
	case "withdraw":
		decide = func(a *account.Account) ([]account.Event, error) { return a.Withdraw(amount) }
	case "freeze":
		decide = func(a *account.Account) ([]account.Event, error) { return a.Freeze(p.Reason) }
	case "unfreeze":
		decide = (*account.Account).Unfreeze
	case "close":
		decide = (*account.Account).Close
	}
	return decide, request, nil
}
