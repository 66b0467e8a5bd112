package api

import (
	"context"

	"github.com/peatlog/peat/examples/bank/ledger"
	"github.com/peatlog/peat/examples/bank/views"
)

func (s *Server) registerReports() {
	register(s, endpoint("GET", "/books", "get-books", "Where the money is, and whether any was lost or made"), s.books)
	register(s, endpoint("GET", "/days", "list-days", "What moved on each day, newest first"), s.days)
	register(s, endpoint("GET", "/counterparties", "list-counterparties", "The accounts at other banks with the largest turnover"), s.counterparties)
	register(s, endpoint("GET", "/reconciliation", "get-reconciliation", "The imported ledger against the balances that the bank printed"), s.reconciliation)
}

type booksOutput struct {
	Body struct {
		Conserved bool          `json:"conserved" doc:"No money was lost or made, and no rule broken."`
		Accounts  int           `json:"accounts"`
		Customers amount        `json:"customers" doc:"On the accounts, by the books."`
		Balances  amount        `json:"balances" doc:"The sum of the accounts."`
		Cash      amount        `json:"cash" doc:"Paid in at the counter, less what was paid out."`
		Others    amount        `json:"others" doc:"Come from other banks, less what went there."`
		Clearing  amount        `json:"clearing" doc:"On the way to other banks."`
		Transit   amount        `json:"transit" doc:"Between two accounts."`
		Findings  []findingBody `json:"findings" nullable:"false"`
	}
}

type findingBody struct {
	Account string `json:"account"`
	Version int64  `json:"version"`
	What    string `json:"what"`
}

func (s *Server) books(ctx context.Context, in *ReadAt) (*booksOutput, error) {
	if err := s.wait(ctx, *in, views.Accounts); err != nil {
		return nil, err
	}
	b, err := s.bank.Views.Books(ctx)
	out := &booksOutput{}
	out.Body.Conserved, out.Body.Accounts = b.Conserved(), b.Accounts
	out.Body.Customers, out.Body.Balances = amount(b.Customers), amount(b.Balances)
	out.Body.Cash, out.Body.Others = amount(b.Cash), amount(b.Others)
	out.Body.Clearing, out.Body.Transit = amount(b.Clearing), amount(b.Transit)
	out.Body.Findings = listOf(b.Findings, func(f views.Finding) findingBody { return findingBody(f) }).Body.Items
	return out, err
}

type daysInput struct {
	ReadAt
	Below string `query:"below" pattern:"^[0-9]{4}-[0-9]{2}-[0-9]{2}$" doc:"A day: begin with the one before it."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

type dayBody struct {
	Day       string `json:"day" format:"date"`
	Credited  amount `json:"credited"`
	Debited   amount `json:"debited"`
	Movements int64  `json:"movements"`
}

func (s *Server) days(ctx context.Context, in *daysInput) (*list[dayBody], error) {
	if err := s.wait(ctx, in.ReadAt, views.Days); err != nil {
		return nil, err
	}
	rows, err := s.bank.Views.Days(ctx, in.Below, in.Limit)
	return listOf(rows, func(d views.Day) dayBody {
		return dayBody{string(d.Day), amount(d.Credited), amount(d.Debited), d.Movements}
	}), err
}

type counterpartiesInput struct {
	ReadAt
	Limit int `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

type counterpartyBody struct {
	Party    partyBody `json:"party"`
	Received amount    `json:"received"`
	Sent     amount    `json:"sent"`
	Payments int64     `json:"payments"`
}

func (s *Server) counterparties(ctx context.Context, in *counterpartiesInput) (*list[counterpartyBody], error) {
	if err := s.wait(ctx, in.ReadAt, views.Counterparties); err != nil {
		return nil, err
	}
	rows, err := s.bank.Views.Counterparties(ctx, in.Limit)
	return listOf(rows, func(c views.Counterparty) counterpartyBody {
		return counterpartyBody{partyBody(c.Party), amount(c.Received), amount(c.Sent), c.Payments}
	}), err
}

type reconciliationOutput struct {
	Body struct {
		Transactions int              `json:"transactions"`
		Accounts     int              `json:"accounts"`
		AccountDays  int              `json:"account_days"`
		Exact        int              `json:"exact" doc:"Days that close with the printed balance."`
		Within010    int              `json:"within_010" doc:"Days that miss it by at most 0.10."`
		Off          []differenceBody `json:"off" nullable:"false" doc:"The days that miss it by more."`
		Credited     amount           `json:"credited"`
		Debited      amount           `json:"debited"`
	}
}

type differenceBody struct {
	Account  string `json:"account"`
	Day      string `json:"day" format:"date"`
	Computed amount `json:"computed"`
	Printed  amount `json:"printed"`
}

func (s *Server) reconciliation(ctx context.Context, in *ReadAt) (*reconciliationOutput, error) {
	if err := s.wait(ctx, *in, views.Reconciliation); err != nil {
		return nil, err
	}
	r, err := s.bank.Views.Reconciliation(ctx)
	out := &reconciliationOutput{}
	out.Body.Transactions, out.Body.Accounts, out.Body.AccountDays = r.Transactions, r.Accounts, r.AccountDays
	out.Body.Exact, out.Body.Within010 = r.Exact, r.Rounded
	out.Body.Credited, out.Body.Debited = amount(r.Credited), amount(r.Debited)
	out.Body.Off = listOf(r.Off, func(d ledger.Difference) differenceBody {
		return differenceBody{d.Account, string(d.Date), amount(d.Computed), amount(d.Printed)}
	}).Body.Items
	return out, err
}
