//go:build unix

package pgtest_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/internal/pgtest"
)

func TestServerIsOneForAllTests(t *testing.T) {
	t.Parallel()
	c := pgtest.Server(t)
	if pgtest.Server(t) != c {
		t.Error("two servers in one process")
	}
	got := query(t, connect(t, c.URL()), "SHOW server_version")
	if version, _, _ := strings.Cut(got, " "); version != c.Version() {
		t.Errorf("Version() = %q, server says %q", c.Version(), got)
	}
	if db := query(t, connect(t, c.DSN("template1")), "SELECT current_database()"); db != "template1" {
		t.Errorf("DSN(template1) leads to %s", db)
	}
}

func TestServerHonoursDatabaseURL(t *testing.T) {
	t.Parallel()
	if isChild() {
		c := pgtest.Server(t)
		t.Log("url:", c.URL())
		t.Log("marker:", query(t, connect(t, c.DSN("other one")), "SELECT note FROM marker"))
		return
	}
	c := pgtest.NewCluster(t, pgtest.Options{})
	mustExec(t, connect(t, c.URL()), `CREATE DATABASE "other one"`)
	mustExec(t, connect(t, c.DSN("other one")), `CREATE TABLE marker AS SELECT 'here' AS note`)
	config, err := pgx.ParseConfig(c.URL())
	if err != nil {
		t.Fatal(err)
	}
	keywords := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable", config.Port)
	for _, url := range []string{c.URL(), keywords} {
		out, err := child(t, "PEAT_TEST_DATABASE_URL="+url).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", url, err, out)
		}
		want := []string{"url: " + url, "marker: here", "pgtest: PostgreSQL " + c.Version() + " (PEAT_TEST_DATABASE_URL)\n"}
		for _, text := range want {
			if !strings.Contains(string(out), text) {
				t.Errorf("output has no %q:\n%s", text, out)
			}
		}
	}
}

// TestNoServerFailsTheTest sees that a server that cannot be had is an error of
// the test, neither a skip nor a silent change to another server.
func TestNoServerFailsTheTest(t *testing.T) {
	t.Parallel()
	if isChild() {
		pgtest.Server(t)
		return
	}
	for env, want := range map[string]string{
		// Port 1 needs root to listen on, and nobody does.
		"PEAT_TEST_DATABASE_URL=postgres://127.0.0.1:1/none": "PEAT_TEST_DATABASE_URL: ",
		"PEAT_TEST_POSTGRES=newest":                          `"newest" is not a PostgreSQL major version`,
		"PEAT_TEST_POSTGRES=7":                               "no PostgreSQL 7 on this machine and none to download",
	} {
		cmd := child(t, "PEAT_TEST_DATABASE_URL=", env)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "--- FAIL") || !strings.Contains(string(out), want) {
			t.Errorf("%s: want a failure with %q, got %v\n%s", env, want, err, out)
		}
	}
}

func TestSharedServerCannotBeStopped(t *testing.T) {
	t.Parallel()
	if isChild() {
		pgtest.Server(t).Stop(t, pgtest.Fast)
		return
	}
	// An own shared cluster, and one that is somebody else's altogether.
	for _, url := range []string{"", pgtest.Server(t).URL()} {
		out, err := child(t, "PEAT_TEST_DATABASE_URL="+url).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "take one from NewCluster") {
			t.Errorf("URL %q: want a failure that says what to do, got %v\n%s", url, err, out)
		}
	}
}

func TestPoolIsClosedAfterTheTest(t *testing.T) {
	t.Parallel()
	var ping func() error
	t.Run("user", func(t *testing.T) {
		pool := pgtest.NewPool(t)
		if n := pool.Config().MaxConns; n != 20 {
			t.Errorf("MaxConns is %d by default", n)
		}
		ping = func() error { return pool.Ping(t.Context()) }
		if err := ping(); err != nil {
			t.Error(err)
		}
	})
	if ping() == nil {
		t.Error("pool still open")
	}
}

func TestSchemaIsDroppedAfterTheTest(t *testing.T) {
	t.Parallel()
	conn := connect(t, pgtest.Server(t).URL())
	var schema string
	count := func() string {
		return query(t, conn, "SELECT count(*)::text FROM pg_namespace WHERE nspname = $1", schema)
	}
	t.Run(`odd "name" / é'\`+strings.Repeat("long", 20), func(t *testing.T) {
		schema = pgtest.NewSchema(t)
		if pgtest.NewSchema(t) == schema {
			t.Error("two schemas with one name")
		}
		if !regexp.MustCompile(`^Test [!-~]+ [0-9a-f]{12}$`).MatchString(schema) || strings.ContainsAny(schema, `"'\`) || len(schema) > 62 {
			t.Errorf("schema name %q", schema)
		}
		mustExec(t, conn, "CREATE SCHEMA "+pgx.Identifier{schema}.Sanitize())
		mustExec(t, conn, "CREATE TABLE "+pgx.Identifier{schema, "Table"}.Sanitize()+" ()")
		if n := count(); n != "1" {
			t.Errorf("%s schemas of the full name", n)
		}
	})
	if n := count(); n != "0" {
		t.Errorf("schema %q is still there", schema)
	}
}
