//go:build unix

package e2e_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/clearing"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/examples/bank/service"
	"github.com/peatlog/peat/examples/bank/web"
	"github.com/peatlog/peat/internal/pgtest"
)

// inTime bounds every wait. It is long, because machines that test are busy.
const inTime = 90 * time.Second

// onBothStores runs a test with the address of an empty store of either kind.
func onBothStores(t *testing.T, test func(t *testing.T, address string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); test(t, newSQLite(t)) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); test(t, newDatabase(t)) })
}

func newSQLite(t *testing.T) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "bank.db")
}

// newDatabase returns the address of a PostgreSQL database that ends with the test.
func newDatabase(t *testing.T) string {
	t.Helper()
	address, err := url.Parse(pgtest.Server(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	name := "bank_" + rand.Text()
	run := func(ctx context.Context, statement string) {
		conn, err := pgx.Connect(ctx, pgtest.Server(t).URL())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(ctx) }()
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Error(err)
		}
	}
	quoted := pgx.Identifier{name}.Sanitize()
	run(t.Context(), "CREATE DATABASE "+quoted)
	t.Cleanup(func() { run(context.Background(), "DROP DATABASE "+quoted+" WITH (FORCE)") })
	address.Path = "/" + name
	return address.String()
}

// network is one that can be cut.
type network struct{ down atomic.Bool }

// Send implements [clearing.Network].
func (n *network) Send(ctx context.Context, p account.PaymentRequested) error {
	if n.down.Load() {
		return errors.New("the line is down")
	}
	return clearing.Simulated{}.Send(ctx, p)
}

// server is a bank that is served in this process.
type server struct {
	URL     string
	Bank    *service.Bank
	Network *network
}

// serve serves the bank in a store until the test ends.
func serve(t *testing.T, address string) *server {
	t.Helper()
	s := &server{Network: &network{}}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	var err error
	if s.Bank, err = service.Open(t.Context(), address, service.Options{Network: s.Network, Logger: log}); err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.URL = "http://" + listener.Addr().String()
	ctx, stop := context.WithCancel(context.Background()) // the test's own ends before its cleanups
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(ctx, listener, s.Bank, log) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
		s.Bank.Close()
	})
	return s
}

// open opens an account with a balance.
func (s *server) open(t *testing.T, id string, balance money.Amount) {
	t.Helper()
	_, err := s.Bank.Execute(t.Context(), service.Command{}, id, func(a *account.Account) ([]account.Event, error) {
		events, err := a.Open("Holder of "+id, 0)
		if balance > 0 {
			events = append(events, account.Deposited{Amount: balance})
		}
		return events, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition.
func until(t *testing.T, what string, condition func() (bool, error)) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(inTime); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var ok bool
		if ok, err = condition(); ok {
			return
		}
	}
	t.Fatalf("waited in vain until %s: %v", what, err)
}

// settle waits until all read models are up to date.
func (s *server) settle(t *testing.T) {
	t.Helper()
	until(t, "the read models are up to date", func() (bool, error) {
		all, err := s.Bank.Status(t.Context())
		for _, c := range all {
			if c.Behind > 0 || c.Building > 0 {
				return false, fmt.Errorf("%s is %d behind, building %d", c.Name, c.Behind, c.Building)
			}
		}
		return err == nil, err
	})
}
