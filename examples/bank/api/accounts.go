package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/examples/bank/service"
	"github.com/peatlog/peat/examples/bank/views"
)

// accountBody is an account.
type accountBody struct {
	ID        string    `json:"id"`
	Holder    string    `json:"holder" doc:"Empty where a ledger has opened the account."`
	Status    string    `json:"status" enum:"open,frozen,closed"`
	Balance   amount    `json:"balance"`
	Overdraft amount    `json:"overdraft" doc:"How far below zero a customer may go."`
	Available amount    `json:"available" doc:"What can be taken out."`
	Version   int64     `json:"version"`
	UpdatedAt time.Time `json:"updated_at"`
}

func accountOf(r views.AccountRow) accountBody {
	return accountBody{
		ID: r.ID, Holder: r.Holder, Status: string(r.Status), Balance: amount(r.Balance), Overdraft: amount(r.Overdraft),
		Available: amount(r.Available()), Version: r.Version, UpdatedAt: r.UpdatedAt,
	}
}

// lineBody is a line of a statement.
type lineBody struct {
	Version    int64     `json:"version"`
	Day        string    `json:"day" format:"date"`
	RecordedAt time.Time `json:"recorded_at"`
	What       string    `json:"what"`
	Change     amount    `json:"change"`
	Balance    amount    `json:"balance"`
}

func (s *Server) registerAccounts() {
	register(s, endpoint("GET", "/accounts", "list-accounts", "Accounts in the order of their numbers"), s.listAccounts)
	register(s, endpoint("GET", "/accounts/{id}", "get-account", "One account", http.StatusNotFound), s.getAccount)
	register(s, endpoint("GET", "/accounts/{id}/statement", "get-statement", "The statement of an account, newest first", http.StatusNotFound), s.getStatement)

	op := endpoint("POST", "/accounts", "open-account", "Open an account", http.StatusConflict)
	op.DefaultStatus = http.StatusCreated
	register(s, op, s.openAccount)
	for _, c := range []struct {
		name, summary string
		decide        func(a *account.Account, m money.Amount) ([]account.Event, error)
	}{
		{"deposit", "Put money in", (*account.Account).Deposit},
		{"withdraw", "Take money out", (*account.Account).Withdraw},
	} {
		register(s, onAccount(c.name, c.summary), func(ctx context.Context, in *moveInput) (*receipt, error) {
			cmd := command(in.CommandHeaders, in.MatchHeader, "%s %s", c.name, money.Amount(in.Body.Amount))
			return s.execute(ctx, cmd, in.ID, func(a *account.Account) ([]account.Event, error) {
				return c.decide(a, money.Amount(in.Body.Amount))
			})
		})
	}
	register(s, onAccount("freeze", "Stop what is taken out"), func(ctx context.Context, in *freezeInput) (*receipt, error) {
		return s.execute(ctx, command(in.CommandHeaders, in.MatchHeader, "freeze %s", in.Body.Reason), in.ID,
			func(a *account.Account) ([]account.Event, error) { return a.Freeze(in.Body.Reason) })
	})
	register(s, onAccount("unfreeze", "End a freeze"), func(ctx context.Context, in *PlainInput) (*receipt, error) {
		return s.execute(ctx, command(in.CommandHeaders, in.MatchHeader, "unfreeze"), in.ID, (*account.Account).Unfreeze)
	})
	register(s, onAccount("close", "Close an account, which must be empty"), func(ctx context.Context, in *PlainInput) (*receipt, error) {
		return s.execute(ctx, command(in.CommandHeaders, in.MatchHeader, "close"), in.ID, (*account.Account).Close)
	})
}

// onAccount describes a command on one account.
func onAccount(name, summary string) huma.Operation {
	return endpoint("POST", "/accounts/{id}/"+name, name, summary, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed)
}

// PlainInput is that of a command on an account that needs nothing else.
type PlainInput struct {
	AccountPath
	CommandHeaders
	MatchHeader
}

type moveInput struct {
	PlainInput
	Body struct {
		Amount amount `json:"amount"`
	}
}

type freezeInput struct {
	PlainInput
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"100"`
	}
}

type openInput struct {
	CommandHeaders
	Body struct {
		ID        string `json:"id" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$" example:"ann"`
		Holder    string `json:"holder" minLength:"1" maxLength:"100"`
		Overdraft amount `json:"overdraft,omitempty"`
	}
}

func (s *Server) openAccount(ctx context.Context, in *openInput) (*receipt, error) {
	cmd := command(in.CommandHeaders, MatchHeader{}, "open %q %s", in.Body.Holder, money.Amount(in.Body.Overdraft))
	return s.execute(ctx, cmd, in.Body.ID, func(a *account.Account) ([]account.Event, error) {
		return a.Open(in.Body.Holder, money.Amount(in.Body.Overdraft))
	})
}

// execute runs a decision and answers with its receipt.
func (s *Server) execute(ctx context.Context, c service.Command, id string, decide service.Decision) (*receipt, error) {
	r, err := s.bank.Execute(ctx, c, id, decide)
	if err != nil {
		return nil, err
	}
	return receiptOf(id, "/api/accounts/"+id, r), nil
}

type listAccountsInput struct {
	ReadAt
	After  string `query:"after" maxLength:"40" doc:"The number of the account behind which to begin."`
	Search string `query:"search" maxLength:"100" doc:"A part of the number or of the holder."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (s *Server) listAccounts(ctx context.Context, in *listAccountsInput) (*list[accountBody], error) {
	if err := s.wait(ctx, in.ReadAt, views.Accounts); err != nil {
		return nil, err
	}
	rows, err := s.bank.Views.AccountList(ctx, views.AccountList{After: in.After, Search: in.Search, Limit: in.Limit})
	return listOf(rows, accountOf), err
}

type getAccountInput struct {
	AccountPath
	ReadAt
	IfNoneMatch string `header:"If-None-Match" doc:"An ETag: 304 if the account still has it."`
}

type accountOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   *accountBody
}

func (s *Server) getAccount(ctx context.Context, in *getAccountInput) (*accountOutput, error) {
	if err := s.wait(ctx, in.ReadAt, views.Accounts); err != nil {
		return nil, err
	}
	row, err := s.bank.Views.Account(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if in.IfNoneMatch == etag(row.Version) {
		return nil, huma.Status304NotModified()
	}
	body := accountOf(row)
	return &accountOutput{Status: http.StatusOK, ETag: etag(row.Version), Body: &body}, nil
}

type statementInput struct {
	AccountPath
	ReadAt
	Below int64 `query:"below" minimum:"0" doc:"A version: begin with the line before it."`
	Limit int   `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (s *Server) getStatement(ctx context.Context, in *statementInput) (*list[lineBody], error) {
	if err := s.wait(ctx, in.ReadAt, views.Accounts, views.Statement); err != nil {
		return nil, err
	}
	if _, err := s.bank.Views.Account(ctx, in.ID); err != nil {
		return nil, err
	}
	lines, err := s.bank.Views.Statement(ctx, in.ID, in.Below, in.Limit)
	return listOf(lines, func(l views.Line) lineBody {
		return lineBody{l.Version, string(l.Day), l.RecordedAt, l.What, amount(l.Change), amount(l.Balance)}
	}), err
}
