// Package web serves the bank: the pages, which are rendered here and keep themselves
// up to date, and the interface of package api.
//
// # Pages
//
// A page is a handler and a template. What a form asks for is a command with a key
// that was drawn with the form, so that sending it twice lands it once; then the
// browser is sent to a page that waits until it can show what was done.
//
// # Safety
//
// There is no login: whoever reaches the address is a clerk, so by default it is one
// of the own machine only. Forms are accepted from the own pages alone, by what
// browsers say of a request's origin; as there is no cookie, there is nothing that a
// token could protect beyond that. Scripts and styles come from the own server only.
package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/peatlog/peat/examples/bank/api"
	"github.com/peatlog/peat/examples/bank/service"
)

// patience is how long a request may go on when the server is told to end.
const patience = 10 * time.Second

// Serve serves the bank on a listener until ctx ends, and does its share of the work
// on the read models and the payments. Then it finishes the requests under way, gives
// back its work to other processes, and returns nil.
func Serve(ctx context.Context, listener net.Listener, bank *service.Bank, log *slog.Logger) error {
	working, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	server := &http.Server{
		Handler:           Handler(bank, log, listener.Addr()),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	server.RegisterOnShutdown(bank.Feed.Close)
	ended := make(chan error, 2)
	go func() { ended <- bank.Run(working) }()
	go func() { ended <- server.Serve(listener) }()
	var err error
	left := 2
	select {
	case <-ctx.Done():
	case err = <-ended: // one of them failed
		left--
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err = errors.Join(err, server.Shutdown(closing))
	stopWork() // behind the requests, which may wait for the work
	for range left {
		if failed := <-ended; !errors.Is(failed, http.ErrServerClosed) {
			err = errors.Join(err, failed)
		}
	}
	return err
}

// server has what the pages need.
type server struct {
	bank *service.Bank
	log  *slog.Logger
}

// Handler returns the bank's pages and interface. The address is what it is served
// at: requests for another host than this machine are refused where it is one that
// only this machine reaches; nil is any.
func Handler(bank *service.Bank, log *slog.Logger, address net.Addr) http.Handler {
	s := &server{bank, log}
	mux := http.NewServeMux()
	api.Register(mux, bank, log)
	mux.HandleFunc("GET /{$}", s.overview)
	mux.HandleFunc("POST /accounts", s.open)
	mux.HandleFunc("GET /accounts/{id}", s.account)
	mux.HandleFunc("POST /accounts/{id}/{command}", s.onAccount)
	mux.HandleFunc("GET /transfer", s.transferForm)
	mux.HandleFunc("POST /transfer", s.transfer)
	mux.HandleFunc("POST /pay", s.pay)
	mux.HandleFunc("GET /payments", s.payments)
	mux.HandleFunc("GET /reports", s.reports)
	mux.HandleFunc("GET /live", s.live)
	mux.HandleFunc("GET /operations", s.operations)
	mux.HandleFunc("POST /operations/{consumer}/{command}", s.operate)
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("GET /healthz", s.healthy)
	mux.Handle("GET /static/", cached(http.FileServerFS(static)))
	mux.HandleFunc("/", s.notFound)
	return s.guarded(mux, address)
}

// healthy answers whether the store can be reached.
func (s *server) healthy(w http.ResponseWriter, r *http.Request) {
	if _, err := s.bank.Views.Days(r.Context(), "", 1); err != nil {
		s.log.ErrorContext(r.Context(), "the store cannot be reached", "error", err)
		http.Error(w, "the store cannot be reached", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n")) // who does not wait for the answer needs none
}

func (s *server) notFound(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, http.StatusNotFound, "error", frame{Title: "Not found", Problem: "There is no such page."})
}
