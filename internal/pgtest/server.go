//go:build unix

package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// databaseURLEnv names the variable that puts a running server in the place of
// an own cluster.
const databaseURLEnv = "PEAT_TEST_DATABASE_URL"

// shared is package state on purpose: a cluster costs a second or two to make,
// and the tests of a package have nothing but the process in common.
var shared = sync.OnceValues(func() (*Cluster, error) {
	url := os.Getenv(databaseURLEnv)
	if url == "" {
		return newCluster(Options{})
	}
	return externalCluster(url)
})

// Server returns the server that all tests of the process share, and starts it
// at first use. Its Stop and Start fail the test, as others are using it. When
// there is no server to be had, every test that asks fails with the reason.
func Server(t testing.TB) *Cluster {
	t.Helper()
	c, err := shared()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return c
}

// NewPool returns a pool on the server of [Server], closed at cleanup. It has at
// most 20 connections unless a configure function, applied in order before the
// pool is made, says otherwise. Connections that the test leaves acquired are
// reported as an error.
func NewPool(t testing.TB, configure ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(Server(t).URL())
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	config.MaxConns = 20
	for _, f := range configure {
		f(config)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() { closePool(t, pool) })
	return pool
}

// closePool puts a limit on Close, which waits for every connection to come
// back: one that leaked would hang the whole run without naming the test.
func closePool(t testing.TB, pool *pgxpool.Pool) {
	closed := make(chan struct{})
	go func() { defer close(closed); pool.Close() }()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Errorf("pgtest: the test left %d connections of its pool acquired", pool.Stat().AcquiredConns())
	}
}

// NewSchema returns a name for a schema of this test alone and drops whatever
// has that name in the database of [Server] at cleanup. It does not create the
// schema: that is the migration's work. The name needs quotes in SQL, as it has
// capitals and spaces, so that a statement that forgets them fails.
func NewSchema(t testing.TB) string {
	t.Helper()
	url := Server(t).URL()
	name := schemaName(t.Name())
	t.Cleanup(func() {
		if err := dropSchema(url, name); err != nil {
			t.Errorf("pgtest: drop schema %q: %v", name, err)
		}
	})
	return name
}

// schemaName keeps as much of the test's name as leaves the whole well under
// PostgreSQL's 63 bytes, beyond which two names could be cut to the same one.
func schemaName(test string) string {
	short := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/"'\`, r) || r <= ' ' || r > '~' {
			return '-'
		}
		return r
	}, strings.TrimPrefix(test, "Test"))
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails, see crypto/rand
	return "Test " + short[:min(len(short), 40)] + " " + hex.EncodeToString(random[:])
}

// dropSchema uses a connection of its own, as the test's pool may be exhausted
// or closed by now. A transaction that the test left open holds locks; the
// limit turns waiting for them into an error.
func dropSchema(url, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "SET lock_timeout = '10s'"); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+pgx.Identifier{name}.Sanitize()+" CASCADE")
	return err
}

// announced holds the lines printed so far, so that each appears once per process.
var announced sync.Map

// announce tells the reader of a test's output which server it met.
func announce(version, origin string) {
	line := fmt.Sprintf("pgtest: PostgreSQL %s (%s)", version, origin)
	if _, printed := announced.LoadOrStore(line, true); !printed {
		fmt.Fprintln(os.Stderr, line)
	}
}
