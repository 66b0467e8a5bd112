package web

import (
	"errors"
	"net/http"

	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/examples/bank/views"
)

type transferPage struct {
	frame
	// What was typed into the form.
	From, To, Bank, Number, Amount string
	// Outside tells that it is the form for other banks.
	Outside bool
	// Field is the one that is wrong, "" if it is none in particular.
	Field string
}

func (s *server) transferForm(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.render(w, r, http.StatusOK, "transfer", transferPage{
		frame: s.newFrame(r, "Transfer", "transfer"), From: q.Get("from"), To: q.Get("to"),
	})
}

// transfer moves money between two accounts.
func (s *server) transfer(w http.ResponseWriter, r *http.Request) {
	p := transferPage{From: r.PostFormValue("from"), To: r.PostFormValue("to"), Amount: r.PostFormValue("amount")}
	amount, err := money.Parse(p.Amount)
	if err == nil {
		t := account.Transfer{From: p.From, To: p.To, Amount: amount}
		receipt, failed := s.bank.Transfer(r.Context(), command(r, "transfer "+p.To+" "+amount.String()), t)
		if failed == nil {
			to(w, r, "/accounts/"+p.From, "transfer", receipt)
			return
		}
		err = failed
	}
	s.refuse(w, r, p, err)
}

// pay requests a payment to another bank.
func (s *server) pay(w http.ResponseWriter, r *http.Request) {
	p := transferPage{
		From: r.PostFormValue("from"), Bank: r.PostFormValue("bank"), Number: r.PostFormValue("number"),
		Amount: r.PostFormValue("amount"), Outside: true,
	}
	amount, err := money.Parse(p.Amount)
	if err == nil {
		other := account.Party{Bank: p.Bank, Account: p.Number}
		_, receipt, failed := s.bank.Pay(r.Context(), command(r, "pay "+other.String()+" "+amount.String()), p.From, other, amount)
		if failed == nil {
			to(w, r, "/payments", "pay", receipt)
			return
		}
		err = failed
	}
	s.refuse(w, r, p, err)
}

// refuse shows the form again, with what was typed and what is wrong.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, p transferPage, err error) {
	status, problem := s.explain(r.Context(), err)
	p.frame = s.newFrame(r, "Transfer", "transfer")
	p.Problem = problem
	switch {
	case errors.Is(err, money.ErrSyntax), errors.Is(err, money.ErrRange), errors.Is(err, account.ErrAmountNotPositive),
		errors.Is(err, account.ErrInsufficientFunds):
		p.Field = "amount"
	case errors.Is(err, account.ErrSameAccount):
		p.Field = "to"
	case errors.Is(err, account.ErrParty):
		p.Field = "bank"
	}
	s.render(w, r, status, "transfer", p)
}

type paymentsPage struct {
	frame
	Payments []views.Payment
}

func (s *server) payments(w http.ResponseWriter, r *http.Request) {
	p := paymentsPage{frame: s.newFrame(r, "Payments", "payments", views.Payments)}
	p.Events = eventsPath
	var err error
	if p.Payments, err = s.bank.Views.Payments(r.Context(), perPage); err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "payments", p)
}
