package api

import (
	"context"
	"net/http"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/service"
)

func (s *Server) registerOperations() {
	register(s, endpoint("GET", "/consumers", "list-consumers", "The read models and the process that carries payments: where they stand"), s.consumers)
	op := endpoint("POST", "/consumers/{name}/rebuild", "rebuild", "Build a read model again beside the live one", http.StatusNotFound, http.StatusConflict)
	op.DefaultStatus = http.StatusAccepted
	register(s, op, s.rebuild)
	op = endpoint("DELETE", "/consumers/{name}/rebuild", "cancel-rebuild", "Give up a rebuild", http.StatusNotFound, http.StatusConflict)
	op.DefaultStatus = http.StatusNoContent
	register(s, op, s.cancelRebuild)
	register(s, endpoint("GET", "/consumers/{name}/parked", "list-parked", "Events that are set aside", http.StatusNotFound), s.parked)
	op = endpoint("POST", "/consumers/{name}/redrive", "redrive", "Deliver events again that are set aside", http.StatusNotFound)
	op.DefaultStatus = http.StatusAccepted
	register(s, op, s.redrive)
	op = endpoint("POST", "/consumers/{name}/discard", "discard", "Give up an event that is set aside", http.StatusNotFound)
	op.DefaultStatus = http.StatusNoContent
	register(s, op, s.discard)
}

type consumerBody struct {
	Name       string   `json:"name"`
	Generation int      `json:"generation"`
	Building   int      `json:"building,omitempty" doc:"The generation that a rebuild makes."`
	Progress   float64  `json:"progress" doc:"How far that is, from 0 to 1."`
	Behind     int      `json:"behind" doc:"Events that are still to come."`
	MoreBehind bool     `json:"more_behind" doc:"There are more than were counted."`
	AgeSeconds float64  `json:"age_seconds" doc:"How long the oldest of them has waited."`
	Parked     int      `json:"parked"`
	Holders    []string `json:"holders" nullable:"false" doc:"The processes that work on it."`
	Errors     []string `json:"errors" nullable:"false" doc:"Why it has stopped."`
}

func (s *Server) consumers(ctx context.Context, _ *struct{}) (*list[consumerBody], error) {
	all, err := s.bank.Status(ctx)
	return listOf(all, func(c service.ConsumerStatus) consumerBody {
		return consumerBody{
			c.Name, c.Generation, c.Building, c.Progress, c.Behind, c.MoreBehind, c.Age.Seconds(), c.Parked,
			append([]string{}, c.Holders...), append([]string{}, c.Errors...),
		}
	}), err
}

// ConsumerPath names a consumer in a path.
type ConsumerPath struct {
	Name string `path:"name" maxLength:"50" example:"accounts"`
}

type rebuildOutput struct {
	Body struct {
		Generation int `json:"generation"`
	}
}

func (s *Server) rebuild(ctx context.Context, in *ConsumerPath) (*rebuildOutput, error) {
	g, err := s.bank.Rebuild(ctx, in.Name)
	out := &rebuildOutput{}
	out.Body.Generation = g
	return out, err
}

func (s *Server) cancelRebuild(ctx context.Context, in *ConsumerPath) (*struct{}, error) {
	return nil, s.bank.CancelRebuild(ctx, in.Name)
}

type parkedBody struct {
	Account  string    `json:"account"`
	Version  int64     `json:"version"`
	Error    string    `json:"error,omitempty" doc:"Empty for an event that waits behind another one."`
	Attempts int       `json:"attempts"`
	ParkedAt time.Time `json:"parked_at"`
	Redrive  bool      `json:"redrive" doc:"It was asked to be delivered again."`
}

func (s *Server) parked(ctx context.Context, in *ConsumerPath) (*list[parkedBody], error) {
	all, err := s.bank.Parked(ctx, in.Name)
	return listOf(all, func(p es.Parked) parkedBody {
		return parkedBody{p.Stream.Key, p.Version, p.Error, p.Attempts, p.ParkedAt, p.Redrive}
	}), err
}

type redriveInput struct {
	ConsumerPath
	Body struct {
		Account string `json:"account,omitempty" maxLength:"40" doc:"Whose events; all without it."`
	}
}

type redriveOutput struct {
	Body struct {
		Events int `json:"events"`
	}
}

func (s *Server) redrive(ctx context.Context, in *redriveInput) (*redriveOutput, error) {
	n, err := s.bank.Redrive(ctx, in.Name, in.Body.Account)
	out := &redriveOutput{}
	out.Body.Events = n
	return out, err
}

type discardInput struct {
	ConsumerPath
	Body struct {
		Account string `json:"account" minLength:"1" maxLength:"40"`
		Version int64  `json:"version" minimum:"1"`
		Reason  string `json:"reason" minLength:"1" maxLength:"100"`
	}
}

func (s *Server) discard(ctx context.Context, in *discardInput) (*struct{}, error) {
	return nil, s.bank.Discard(ctx, in.Name, in.Body.Account, in.Body.Version, "api", in.Body.Reason)
}
