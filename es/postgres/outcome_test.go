package postgres_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
)

// cutter cuts connections between the server's answer and the client: once
// armed, it lets what is sent reach the server, waits until landed says so, and
// then fails the read of the answer.
type cutter struct {
	armed  atomic.Bool
	landed func() bool
}

func (c *cutter) configure(config *pgxpool.Config) {
	config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &cutConn{Conn: conn, cutter: c}, err
	}
}

type cutConn struct {
	net.Conn
	cutter *cutter
	sent   atomic.Bool // since armed
}

func (c *cutConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.cutter.armed.Load() {
		c.sent.Store(true)
	}
	return n, err
}

func (c *cutConn) Read(p []byte) (int, error) {
	if !c.sent.Load() {
		return c.Conn.Read(p)
	}
	for deadline := time.Now().Add(10 * time.Second); !c.cutter.landed() && time.Now().Before(deadline); {
	}
	c.cutter.armed.Store(false)
	return 0, io.ErrUnexpectedEOF
}

// withCutter returns a log behind a cutter, and the same log seen directly. The
// cutter waits until streamA has an event.
func withCutter(t *testing.T) (*cutter, *postgres.Store, *backends.Postgres) {
	t.Helper()
	log := backends.NewPostgres(t)
	cut := &cutter{landed: func() bool {
		landed := false
		err := log.Pool.QueryRow(context.Background(), "SELECT EXISTS (SELECT FROM "+log.Table("events")+" WHERE stream_id = $1)", streamA.String()).Scan(&landed)
		return landed || err != nil
	}}
	config := log.Pool.Config()
	cut.configure(config)
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	opts := log.Options
	opts.Flushers = 1
	opts.Silent = true // what tells other processes of an append is not to be cut instead
	store, err := postgres.Open(t.Context(), pool, opts)
	if err != nil {
		t.Fatal(err)
	}
	// The statements are prepared before the cut, so that the cut hits their execution.
	for i, events := range [][]es.EventData{{noted()}, {noted(), noted()}} {
		if _, err := store.Append(t.Context(), streamB, es.Exact(int64(i)), events...); err != nil {
			t.Fatal(err)
		}
	}
	return cut, store, log
}

func TestAnswerLostAfterTheCommit(t *testing.T) {
	t.Parallel()
	cut, store, log := withCutter(t)
	e := noted()
	e.ID = uuid.Must(uuid.NewV7())
	cut.armed.Store(true)
	_, err := store.Append(t.Context(), streamA, es.NoStream, e)
	if _, ok := errors.AsType[*es.OutcomeUnknownError](err); !ok || !errors.Is(err, es.ErrOutcomeUnknown) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("got error %v, want ErrOutcomeUnknown around the cause", err)
	}
	result, err := store.Append(t.Context(), streamA, es.NoStream, e)
	if err != nil || !result.Duplicate || result.Version != 1 {
		t.Errorf("repeated: %+v, %v; want a duplicate", result, err)
	}
	if n := count(t, log.Store, streamA); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

func TestCommitOfATransactionLostAfterIt(t *testing.T) {
	t.Parallel()
	cut, store, log := withCutter(t)
	after := false
	err := store.InTx(t.Context(), func(tx *postgres.Tx) error {
		tx.AfterCommit(func() { after = true })
		if _, err := tx.Append(t.Context(), streamA, es.NoStream, noted()); err != nil {
			return err
		}
		cut.armed.Store(true)
		return nil
	})
	if !errors.Is(err, es.ErrOutcomeUnknown) || after {
		t.Errorf("got error %v, want ErrOutcomeUnknown; functions for after the commit ran: %v", err, after)
	}
	if n := count(t, log.Store, streamA); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

// The backend is killed while the append waits for a lock, so nothing lands; the
// client cannot tell that from a commit, and repeating is the remedy.
func TestBackendKilledDuringAnAppend(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	e := noted()
	e.ID = uuid.Must(uuid.NewV7())
	failed := make(chan error, 1)
	err := log.Store.InTx(t.Context(), func(tx *postgres.Tx) error {
		if _, err := tx.LockStream(t.Context(), streamA); err != nil {
			return err
		}
		var holder int
		if err := tx.SQL().QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&holder); err != nil {
			return err
		}
		go func() {
			_, err := log.Store.Append(context.WithoutCancel(t.Context()), streamA, es.NoStream, e)
			failed <- err
		}()
		killWaiter(t, log, holder)
		if err := <-failed; !errors.Is(err, es.ErrOutcomeUnknown) {
			t.Errorf("got error %v, want ErrOutcomeUnknown", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, duplicate := range []bool{false, true} {
		result, err := log.Store.Append(t.Context(), streamA, es.NoStream, e)
		if err != nil || result.Duplicate != duplicate {
			t.Errorf("repeated: %+v, %v; want duplicate %v", result, err, duplicate)
		}
	}
}

// killWaiter kills the backend that waits for holder.
func killWaiter(t *testing.T, log *backends.Postgres, holder int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		killed := 0
		err := log.Pool.QueryRow(t.Context(), `
			SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))`, holder).Scan(&killed)
		if err != nil {
			t.Fatal(err)
		}
		if killed > 0 {
			return
		}
	}
	t.Fatal("no backend waits for the lock")
}

func TestBackendKilledInsideATransactionIsNoUnknownOutcome(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	err := log.Store.InTx(t.Context(), func(tx *postgres.Tx) error {
		if _, err := tx.Append(t.Context(), streamA, es.NoStream, noted()); err != nil {
			return err
		}
		var pid int
		if err := tx.SQL().QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			return err
		}
		exec(t, log, "SELECT pg_terminate_backend($1, 5000)", pid)
		_, err := tx.Append(t.Context(), streamA, es.Exact(1), noted())
		return err
	})
	if err == nil || errors.Is(err, es.ErrOutcomeUnknown) {
		t.Errorf("got error %v, want one with a known outcome", err)
	}
	if n := count(t, log.Store, streamA); n != 0 {
		t.Errorf("%d events, want none", n)
	}
}

func TestNoConnectionIsNoUnknownOutcome(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	config := log.Pool.Config()
	config.ConnConfig.DialFunc = func(context.Context, string, string) (net.Conn, error) { return nil, io.ErrClosedPipe }
	unreachable, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer unreachable.Close()
	if _, err := postgres.Open(t.Context(), unreachable, log.Options); !errors.Is(err, io.ErrClosedPipe) || errors.Is(err, postgres.ErrNotMigrated) {
		t.Errorf("Open: got error %v, want the cause", err)
	}
	if err := postgres.Migrate(t.Context(), unreachable, log.Options); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Migrate: got error %v, want the cause", err)
	}
}
