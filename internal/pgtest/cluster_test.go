//go:build unix

package pgtest_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/internal/pgtest"
)

// TestClusterSurvivesStops stops one of two clusters in either way. The other
// one goes on, and the stopped one comes back with its data at its old address.
func TestClusterSurvivesStops(t *testing.T) {
	t.Parallel()
	c, other := pgtest.NewCluster(t, pgtest.Options{}), pgtest.NewCluster(t, pgtest.Options{})
	bystander := connect(t, other.URL())
	mustExec(t, connect(t, c.URL()), "CREATE TABLE kept (mode text)")
	for name, mode := range map[string]pgtest.StopMode{"fast": pgtest.Fast, "immediate": pgtest.Immediate} {
		conn := connect(t, c.URL())
		mustExec(t, conn, "INSERT INTO kept VALUES ('"+name+"')")
		c.Stop(t, mode)
		if err := conn.Ping(t.Context()); err == nil {
			t.Errorf("%s: session outlived the server", name)
		}
		c.Stop(t, mode) // does nothing
		query(t, bystander, "SELECT 'alive'")
		c.Start(t)
		c.Start(t) // does nothing
	}
	got := query(t, connect(t, c.URL()), "SELECT string_agg(mode, ' ' ORDER BY mode) FROM kept")
	if diff := cmp.Diff("fast immediate", got); diff != "" {
		t.Error(diff)
	}
}

// TestClusterSurvivesAKilledServer kills the server's first process. That leaves
// its lock file, which says "ready", and here also a backend, suspended until
// the new server has been refused the shared memory once. Start must not take the
// old server's state for the new one's, and must try again.
func TestClusterSurvivesAKilledServer(t *testing.T) {
	t.Parallel()
	c := pgtest.NewCluster(t, pgtest.Options{})
	conn := connect(t, c.URL())
	mustExec(t, conn, "CREATE TABLE kept ()")
	data := dataDir(t, c)
	backend := int(conn.PgConn().PID())
	kill(t, backend, syscall.SIGSTOP)
	t.Cleanup(func() { _ = syscall.Kill(backend, syscall.SIGCONT) }) // when the test fails early
	kill(t, postmasterPID(t, data), syscall.SIGKILL)
	c.Stop(t, pgtest.Fast) // waits until it is gone

	resumed := make(chan bool, 1)
	go func() {
		resumed <- await(func() bool { return logged(data, "shared memory block") }) &&
			syscall.Kill(backend, syscall.SIGCONT) == nil
	}()
	c.Start(t)
	if !<-resumed {
		t.Error("server was never refused the shared memory")
	}
	query(t, connect(t, c.URL()), "SELECT count(*)::text FROM kept")
}

// TestImmediateStopIsACrash sees that the two modes are not the same: only after
// an immediate stop does the server find that it was not shut down.
func TestImmediateStopIsACrash(t *testing.T) {
	t.Parallel()
	c := pgtest.NewCluster(t, pgtest.Options{})
	data := dataDir(t, c)
	for _, tt := range []struct {
		mode  pgtest.StopMode
		crash bool
	}{{pgtest.Fast, false}, {pgtest.Immediate, true}} {
		c.Stop(t, tt.mode)
		c.Start(t)
		if got := logged(data, "automatic recovery in progress"); got != tt.crash {
			t.Errorf("mode %d: recovery is %v", tt.mode, got)
		}
	}
}

func TestClusterSettings(t *testing.T) {
	t.Parallel()
	c := pgtest.NewCluster(t, pgtest.Options{Settings: map[string]string{
		"max_connections": "33",
		"cluster_name":    "it's mine",
	}})
	conn := connect(t, c.URL())
	for name, want := range map[string]string{
		"max_connections":           "33",
		"cluster_name":              "it's mine",
		"max_prepared_transactions": "20",
		"fsync":                     "off",
		"listen_addresses":          "127.0.0.1",
		"unix_socket_directories":   "",
	} {
		if got := query(t, conn, "SELECT current_setting($1)", name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	mustExec(t, conn, "ALTER SYSTEM SET max_connections = 44")
	c.Stop(t, pgtest.Fast)
	c.Start(t)
	if got := query(t, connect(t, c.URL()), "SHOW max_connections"); got != "44" {
		t.Errorf("max_connections is %s, want what ALTER SYSTEM said", got)
	}
}

func TestClusterIsRemovedAfterTheTest(t *testing.T) {
	t.Parallel()
	for _, stopped := range []bool{false, true} {
		var dir string
		t.Run("user", func(t *testing.T) {
			c := pgtest.NewCluster(t, pgtest.Options{})
			dir = filepath.Dir(dataDir(t, c))
			if stopped {
				c.Stop(t, pgtest.Fast)
			}
		})
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("stopped is %v: %s is still there: %v", stopped, dir, err)
		}
	}
}

func TestBinKnowsWhatTheServerCameWith(t *testing.T) {
	t.Parallel()
	c := pgtest.NewCluster(t, pgtest.Options{})
	if path := c.Bin("initdb"); !filepath.IsAbs(path) {
		t.Errorf("initdb is at %q", path)
	}
	if path := c.Bin("no such program"); path != "" {
		t.Errorf("a program that does not exist is at %q", path)
	}
}

// TestFailedStartShowsTheLog sees that the server's own words reach the reader.
func TestFailedStartShowsTheLog(t *testing.T) {
	t.Parallel()
	if isChild() {
		pgtest.NewCluster(t, pgtest.Options{Settings: map[string]string{"no_such_setting": "1"}})
		return
	}
	out, err := child(t).CombinedOutput()
	if err == nil || !strings.Contains(string(out), `unrecognized configuration parameter "no_such_setting"`) {
		t.Errorf("want a failure with the server's log, got %v\n%s", err, out)
	}
}

// TestPostgres18 uses the machine's own or, in most places, the download.
func TestPostgres18(t *testing.T) {
	t.Parallel()
	if os.Getenv("PEAT_TEST_OFFLINE") != "" {
		t.Skip("PEAT_TEST_OFFLINE is set, and this test may have to download PostgreSQL 18")
	}
	c := pgtest.NewCluster(t, pgtest.Options{Major: "18"})
	if !strings.HasPrefix(c.Version(), "18.") {
		t.Errorf("Version() = %q", c.Version())
	}
	if got := query(t, connect(t, c.URL()), "SHOW server_version"); !strings.HasPrefix(got, c.Version()) {
		t.Errorf("Version() = %q, server says %q", c.Version(), got)
	}
	c.Stop(t, pgtest.Immediate)
	c.Start(t)
	query(t, connect(t, c.URL()), "SELECT 'alive'")
}

// postmasterPID is the number of the server's first process.
func postmasterPID(t *testing.T, dataDir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dataDir, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

// logged reports whether the server of a data folder has logged the text.
func logged(dataDir, text string) bool {
	log, err := os.ReadFile(filepath.Join(filepath.Dir(dataDir), "server.log"))
	return err == nil && strings.Contains(string(log), text)
}

func dataDir(t *testing.T, c *pgtest.Cluster) string {
	t.Helper()
	return query(t, connect(t, c.URL()), "SHOW data_directory")
}
