package api

import (
	"context"
	"net/http"
	"time"

	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/examples/bank/views"
)

func (s *Server) registerTransfers() {
	op := endpoint("POST", "/transfers", "transfer", "Move money between two accounts", http.StatusNotFound, http.StatusConflict)
	op.DefaultStatus = http.StatusCreated
	register(s, op, s.transfer)

	op = endpoint("POST", "/payments", "pay", "Request a payment to another bank", http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed)
	op.DefaultStatus = http.StatusAccepted
	register(s, op, s.pay)
	register(s, endpoint("GET", "/payments", "list-payments", "Payments to other banks, newest first"), s.listPayments)
	register(s, endpoint("GET", "/payments/{payment}", "get-payment", "One payment", http.StatusNotFound), s.getPayment)
}

type transferInput struct {
	CommandHeaders
	Body struct {
		From   string `json:"from" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$" example:"ann"`
		To     string `json:"to" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$" example:"bob"`
		Amount amount `json:"amount"`
	}
}

// transfer answers with the receipt of the account that pays.
func (s *Server) transfer(ctx context.Context, in *transferInput) (*receipt, error) {
	t := account.Transfer{From: in.Body.From, To: in.Body.To, Amount: money.Amount(in.Body.Amount)}
	r, err := s.bank.Transfer(ctx, command(in.CommandHeaders, MatchHeader{}, "transfer %s %s", t.To, t.Amount), t)
	if err != nil {
		return nil, err
	}
	return receiptOf(t.From, "/api/accounts/"+t.From, r), nil
}

type payInput struct {
	CommandHeaders
	MatchHeader
	Body struct {
		From   string    `json:"from" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$" example:"ann"`
		To     partyBody `json:"to"`
		Amount amount    `json:"amount"`
	}
}

type partyBody struct {
	Bank    string `json:"bank" pattern:"^[A-Z0-9]{2,11}$" example:"YZ"`
	Account string `json:"account" pattern:"^[0-9]{1,34}$" example:"62457513"`
}

func (s *Server) pay(ctx context.Context, in *payInput) (*receipt, error) {
	to, m := account.Party(in.Body.To), money.Amount(in.Body.Amount)
	id, r, err := s.bank.Pay(ctx, command(in.CommandHeaders, in.MatchHeader, "pay %s %s", to, m), in.Body.From, to, m)
	if err != nil {
		return nil, err
	}
	return receiptOf(in.Body.From, "/api/payments/"+id, r), nil
}

type paymentBody struct {
	ID          string    `json:"id"`
	From        string    `json:"from"`
	To          partyBody `json:"to"`
	Amount      amount    `json:"amount"`
	State       string    `json:"state" enum:"requested,settled,rejected,refunded"`
	Reason      string    `json:"reason,omitempty" doc:"Why it was rejected."`
	RequestedAt time.Time `json:"requested_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

func paymentOf(p views.Payment) paymentBody {
	return paymentBody{p.ID, p.Account, partyBody(p.To), amount(p.Amount), p.State, p.Reason, p.RequestedAt, p.UpdatedAt}
}

type listPaymentsInput struct {
	ReadAt
	Limit int `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (s *Server) listPayments(ctx context.Context, in *listPaymentsInput) (*list[paymentBody], error) {
	if err := s.wait(ctx, in.ReadAt, views.Payments); err != nil {
		return nil, err
	}
	rows, err := s.bank.Views.Payments(ctx, in.Limit)
	return listOf(rows, paymentOf), err
}

type getPaymentInput struct {
	ReadAt
	Payment string `path:"payment" format:"uuid"`
}

type paymentOutput struct{ Body paymentBody }

func (s *Server) getPayment(ctx context.Context, in *getPaymentInput) (*paymentOutput, error) {
	if err := s.wait(ctx, in.ReadAt, views.Payments); err != nil {
		return nil, err
	}
	p, err := s.bank.Views.Payment(ctx, in.Payment)
	return &paymentOutput{paymentOf(p)}, err
}
