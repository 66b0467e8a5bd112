//go:build unix

// Package server is the PostgreSQL server of a benchmark.
package server

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/peatlog/peat/internal/pgtest"
)

// settings make the server of a benchmark: unlike a test's it keeps what it commits.
var settings = map[string]string{
	"fsync":              "on",
	"synchronous_commit": "on",
	"shared_buffers":     "1GB",
	"max_wal_size":       "4GB",
	"autovacuum_naptime": "10min", // not in the middle of a round
	"max_connections":    "400",   // each of the peers keeps a pool
}

// With runs f with a server: the given one, or one of its own that ends with f.
func With(dsn string, f func(dsn string) error) (err error) {
	if dsn != "" {
		return f(dsn)
	}
	h := new(host)
	defer func() { err = errors.Join(err, h.end(recover())) }()
	return f(pgtest.NewCluster(h, pgtest.Options{Settings: settings}).URL())
}

// host stands in for the test that pgtest ties a server to. It has what pgtest calls;
// the embedded nil would panic on anything else.
type host struct {
	testing.TB
	cleanups []func()
	failed   bool
	errs     []error
}

// fatal is what Fatalf leaves the calling function by.
type fatal struct{ err error }

func (*host) Helper()            {}
func (h *host) Failed() bool     { return h.failed }
func (h *host) Cleanup(f func()) { h.cleanups = append(h.cleanups, f) }

func (h *host) Logf(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stderr, format+"\n", args...)
}

func (h *host) Errorf(format string, args ...any) {
	h.failed = true
	h.errs = append(h.errs, fmt.Errorf(format, args...))
}

func (h *host) Fatalf(format string, args ...any) {
	h.failed = true
	panic(fatal{fmt.Errorf(format, args...)})
}

// end stops the server. It takes what recover returned.
func (h *host) end(panicked any) error {
	for i := len(h.cleanups) - 1; i >= 0; i-- {
		h.cleanups[i]()
	}
	if panicked != nil {
		stop, ok := panicked.(fatal)
		if !ok {
			panic(panicked)
		}
		h.errs = append(h.errs, stop.err)
	}
	return errors.Join(h.errs...)
}
