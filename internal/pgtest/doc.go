// Package pgtest gives tests a real, throw-away PostgreSQL.
//
// # Model
//
// [Server] is the one server a test process shares: the one that
// PEAT_TEST_DATABASE_URL names, else a [Cluster] of its own, started at first
// use. A test isolates itself in a schema of its own, see [NewSchema], and
// talks through a [NewPool]. A test that stops or crashes servers takes a
// private one from [NewCluster]. A server that cannot be had fails the test,
// with the reason; nothing is ever skipped silently.
//
// Own clusters run the newest PostgreSQL on the machine, or the newest of the
// major version in PEAT_TEST_POSTGRES (such as 15 or 18). Where the machine has
// none, the binaries come from github.com/fergusstrange/embedded-postgres and
// are kept in the user's cache folder. That set has the server only: no psql,
// no pg_dump.
//
// A cluster listens on 127.0.0.1 alone, trusts whoever connects, and gives
// speed over durability: with fsync off its data survives the end of any of its
// processes, but not that of the machine. It ends with the test process,
// however that ends, so that packages need no TestMain.
//
// # Concurrency
//
// Everything may be called from parallel tests. Stop and Start of one Cluster
// must not be called at the same time, and like everything that may end in
// t.Fatal belong in the goroutine of the test. Call Server and NewCluster
// outside of synctest bubbles: they wait for other processes.
//
// The package works on Unix only, as root too.
package pgtest
