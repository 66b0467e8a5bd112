//go:build unix

package pgtest

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options are the optional choices of [NewCluster]; the zero value is ready.
type Options struct {
	// Settings are server parameters, as in postgresql.conf, on top of the
	// package's own; an equal name replaces the package's value.
	Settings map[string]string
	// Major is the PostgreSQL major version, such as "18". Empty means that of
	// PEAT_TEST_POSTGRES, else the newest on the machine.
	Major string
}

// settings trade durability for speed and leave room for many parallel tests.
// There is no Unix socket: the path of one may not exceed some hundred bytes,
// and temporary folders often do.
var settings = map[string]string{
	"fsync":                     "off",
	"listen_addresses":          "127.0.0.1",
	"max_connections":           "200",
	"max_prepared_transactions": "20",
	"shared_buffers":            "128MB",
	"unix_socket_directories":   "",
}

// Cluster is one PostgreSQL server, made by [Server] or [NewCluster]; the zero
// value is of no use.
type Cluster struct {
	url      string
	version  string
	binaries binaries

	// The rest is for own clusters: dir is empty in one that
	// PEAT_TEST_DATABASE_URL names.
	dir        string
	port       int
	private    bool
	watchdog   *watchdog
	postmaster *postmaster
}

// NewCluster starts a server of the test's own, and removes it with its data at
// cleanup. PEAT_TEST_DATABASE_URL does not apply: such a server cannot be stopped.
// Any number may run at once. When the test fails, the end of the server's log is
// added to its output.
func NewCluster(t testing.TB, opts Options) *Cluster {
	t.Helper()
	c, err := newCluster(opts)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	c.private = true
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("pgtest: server log ends in\n%s", c.logTail())
		}
		if err := c.watchdog.fire(); err != nil {
			t.Errorf("pgtest: remove %s: %v", c.dir, err)
		}
	})
	return c
}

// newCluster makes the data folder and starts a server on it. The watchdog comes
// first, so that there is no moment at which a killed test leaves anything.
func newCluster(opts Options) (*Cluster, error) {
	bin, err := chooseBinaries(opts.Major)
	if err != nil {
		return nil, err
	}
	dir, err := scratchDir()
	if err != nil {
		return nil, err
	}
	dog, err := startWatchdog(dir)
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	c := &Cluster{dir: dir, version: bin.version, binaries: bin, watchdog: dog}
	if err := c.create(opts.Settings); err != nil {
		_ = dog.fire()
		return nil, err
	}
	announce(c.version, "own cluster, "+bin.dir)
	return c, nil
}

// create runs initdb, configures the server and starts it on a port nobody uses.
// The configuration goes to the file, not to the command line, so that a test
// can still change it by ALTER SYSTEM.
func (c *Cluster) create(overrides map[string]string) error {
	if err := c.initdb(); err != nil {
		return err
	}
	merged := maps.Clone(settings)
	maps.Copy(merged, overrides)
	var conf strings.Builder
	for _, name := range slices.Sorted(maps.Keys(merged)) {
		fmt.Fprintf(&conf, "%s = '%s'\n", name, strings.ReplaceAll(merged[name], "'", "''"))
	}
	if err := appendFile(filepath.Join(c.dataDir(), "postgresql.conf"), conf.String()); err != nil {
		return err
	}
	if err := c.startOnFreePort(); err != nil {
		return err
	}
	c.url = fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", c.port)
	return nil
}

// externalCluster describes the server at dsn, after a look at its version,
// which also proves that it can be reached.
func externalCluster(dsn string) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", databaseURLEnv, err)
	}
	defer func() { _ = conn.Close(ctx) }()
	version, _, _ := strings.Cut(conn.PgConn().ParameterStatus("server_version"), " ")
	announce(version, databaseURLEnv)
	return &Cluster{url: dsn, version: version}, nil
}

// URL is the connection string of the superuser in the database postgres, or
// the value of PEAT_TEST_DATABASE_URL as it is.
func (c *Cluster) URL() string { return c.url }

// DSN is URL for another database, which need not exist yet.
func (c *Cluster) DSN(database string) string {
	u, err := url.Parse(c.url)
	if err != nil || u.Scheme == "" {
		// The other form, key=value: of a repeated key the last one counts.
		quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(database)
		return c.url + " dbname='" + quoted + "'"
	}
	u.Path, u.RawPath = "/"+database, ""
	return u.String()
}

// Version is the server's version, such as "15.18".
func (c *Cluster) Version() string { return c.version }

// Bin is the path of a program that belongs to the server, such as "pg_dump", or
// empty when it did not come with one: downloaded binaries have postgres, initdb
// and pg_ctl alone, and those of PEAT_TEST_DATABASE_URL are elsewhere.
func (c *Cluster) Bin(name string) string {
	path := filepath.Join(c.binaries.dir, name)
	if _, err := os.Stat(path); c.binaries.dir == "" || err != nil {
		return ""
	}
	return path
}

func (c *Cluster) dataDir() string { return filepath.Join(c.dir, "data") }
func (c *Cluster) logFile() string { return filepath.Join(c.dir, "server.log") }

// logTail is the last part of the server's log: enough to see why it ended.
func (c *Cluster) logTail() string {
	log, err := os.ReadFile(c.logFile())
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-4096):])
}

// appendFile adds text to a file that exists.
func appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = f.WriteString(text)
	return err
}
