// Package api is the bank's HTTP interface: JSON, described by an OpenAPI document
// that is made of the types here, with errors as problems (RFC 9457).
//
// # Commands
//
// An Idempotency-Key makes a command land once, however often it is sent. If-Match
// with the ETag of an account makes a command land only on that version of it.
//
// # Reading
//
// The read models follow behind the commands. A command answers with a Bank-Position;
// a read that sends it back waits until the read model has come as far, so that it
// sees the own write, whichever server it asks.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/peatlog/peat/examples/bank/service"
)

const (
	// maxBody is the largest body that is read.
	maxBody = 16 << 10
	// bodyTime is how long a client may take to send it.
	bodyTime = 5 * time.Second
)

// Server answers the requests. Safe for concurrent use.
type Server struct {
	bank *service.Bank
	log  *slog.Logger
	api  huma.API
}

// Register adds the interface to a mux, below /api/.
func Register(mux *http.ServeMux, bank *service.Bank, log *slog.Logger) *Server {
	config := huma.DefaultConfig("The bank", "1.0.0")
	config.Info.Description = "Accounts, transfers and payments of a small bank, event-sourced on peat."
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "/api/openapi", "", ""
	config.CreateHooks = nil // no links to schemas in the answers
	config.FieldsOptionalByDefault = false
	s := &Server{bank: bank, log: log, api: humago.New(mux, config)}
	s.registerAccounts()
	s.registerTransfers()
	s.registerReports()
	s.registerOperations()
	return s
}

// OpenAPI returns the document that describes the interface.
func (s *Server) OpenAPI() *huma.OpenAPI { return s.api.OpenAPI() }

// endpoint describes an operation; what is the same for all is added.
func endpoint(method, path, id, summary string, errors ...int) huma.Operation {
	return huma.Operation{
		Method: method, Path: "/api" + path, OperationID: id, Summary: summary,
		MaxBodyBytes: maxBody, BodyReadTimeout: bodyTime, RejectUnknownQueryParameters: true,
		Errors: append(errors, http.StatusUnprocessableEntity, http.StatusServiceUnavailable, http.StatusInternalServerError),
	}
}

// register adds an operation whose errors become problems.
func register[I, O any](s *Server, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, op, err)
		}
		return out, nil
	})
}

// problem makes of an error what the client is told.
func (s *Server) problem(ctx context.Context, op huma.Operation, err error) error {
	if _, ok := err.(huma.StatusError); ok { //nolint:errorlint // it is made here and never wrapped
		return err
	}
	p, known := service.ProblemOf(err)
	if !known {
		s.log.ErrorContext(ctx, "a request failed", "operation", op.OperationID, "error", err)
	}
	problem := &huma.ErrorModel{
		Type: "urn:bank:problem:" + p.Code, Title: http.StatusText(p.Status), Status: p.Status, Detail: p.Detail,
	}
	if p.Status == http.StatusServiceUnavailable {
		return huma.ErrorWithHeaders(problem, http.Header{"Retry-After": {"1"}})
	}
	return problem
}
