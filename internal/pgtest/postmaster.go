//go:build unix

package pgtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// pollEvery is short against the tenths of a second that a start takes.
	pollEvery = 5 * time.Millisecond
	// patience is far above what a loaded machine needs to start or stop a server.
	patience = time.Minute
)

// errExited says that the postmaster ended before it was ready.
var errExited = errors.New("server ended while starting")

// StopMode is a way to stop a server; the zero value is Fast.
type StopMode int

const (
	// Fast ends all sessions, rolls their transactions back and writes a
	// checkpoint.
	Fast StopMode = iota
	// Immediate ends all processes on the spot, as a crash would: the next start
	// recovers from the write-ahead log.
	Immediate
)

// postmaster is one run of the server's first process.
type postmaster struct {
	process *os.Process
	exited  chan struct{} // closed once the process has been reaped
}

// Stop stops the server and returns once its first process is gone. On a server
// that is down already it does nothing.
func (c *Cluster) Stop(t testing.TB, mode StopMode) {
	t.Helper()
	c.mustBePrivate(t)
	sig := syscall.SIGINT
	if mode == Immediate {
		sig = syscall.SIGQUIT
	}
	_ = c.postmaster.process.Signal(sig) // fails only when it has ended already
	select {
	case <-c.postmaster.exited:
	case <-time.After(patience):
		t.Fatalf("pgtest: server still runs %v after %v, its log ends in\n%s", patience, sig, c.logTail())
	}
}

// Start starts a stopped or crashed server again, with the same port and data, and
// returns once it accepts connections. On a server that runs it does nothing.
func (c *Cluster) Start(t testing.TB) {
	t.Helper()
	c.mustBePrivate(t)
	select {
	case <-c.postmaster.exited:
	default:
		return
	}
	// After a crash the old backends may take a moment to notice, and hold the
	// shared memory until then; the server refuses to start meanwhile.
	deadline := time.Now().Add(10 * time.Second)
	err := c.launch()
	for errors.Is(err, errExited) && time.Now().Before(deadline) {
		err = c.launch()
	}
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
}

// mustBePrivate keeps a test from pulling the server away from under the others.
func (c *Cluster) mustBePrivate(t testing.TB) {
	t.Helper()
	if !c.private {
		t.Fatal("pgtest: the shared server is not for stopping or starting: take one from NewCluster")
	}
}

// initdb makes the data folder. Its "trust" covers loopback addresses only.
func (c *Cluster) initdb() error {
	cmd, err := serverCommand(c.dir, c.Bin("initdb"), "--pgdata", c.dataDir(), "--username", "postgres",
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	if err != nil {
		return err
	}
	if err := c.spawn(cmd); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	defer c.watchdog.release()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w, its log ends in\n%s", cmd, err, c.logTail())
	}
	return nil
}

// startOnFreePort tries ports by letting the server itself bind them: looking for
// a free one first would leave a gap for another process to take it. They are
// from below the range that systems hand out by themselves, so that nobody gets
// the port by chance while the server is down between Stop and Start.
func (c *Cluster) startOnFreePort() error {
	var err error
	for range 10 {
		c.port = 15000 + rand.IntN(15000)
		if err = c.launch(); !errors.Is(err, errExited) {
			return err
		}
	}
	return err
}

// launch starts the server once and waits until it accepts connections. The
// postmaster is our own child, not pg_ctl's, so that we know its number from
// its birth, and notice its end whatever the cause.
func (c *Cluster) launch() error {
	cmd, err := serverCommand(c.dir, c.Bin("postgres"), "-D", c.dataDir(), "-p", strconv.Itoa(c.port))
	if err != nil {
		return err
	}
	if err := c.spawn(cmd); err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	run := &postmaster{process: cmd.Process, exited: make(chan struct{})}
	go func() {
		defer close(run.exited)
		_ = cmd.Wait()
		c.watchdog.release()
	}()
	c.postmaster = run
	return c.awaitReady(run)
}

// spawn starts a program with its output in the log file and puts it in the
// watchdog's care.
func (c *Cluster) spawn(cmd *exec.Cmd) error {
	log, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	c.watchdog.guard(cmd.Process.Pid)
	return nil
}

// awaitReady waits until the run says so in postmaster.pid, which is where pg_ctl
// looks too. A connection would prove less: it might reach another server that
// took the port first.
func (c *Cluster) awaitReady(run *postmaster) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	timeout := time.After(patience)
	for !c.ready(run.process.Pid) {
		select {
		case <-tick.C:
		case <-run.exited:
			return fmt.Errorf("%w, its log ends in\n%s", errExited, c.logTail())
		case <-timeout:
			_ = run.process.Signal(syscall.SIGQUIT)
			return fmt.Errorf("server not ready after %v, its log ends in\n%s", patience, c.logTail())
		}
	}
	return nil
}

// ready reads the first and eighth line of postmaster.pid: process number, which
// a crashed predecessor may have left there, and state, which is another one for a
// standby that takes readers.
func (c *Cluster) ready(pid int) bool {
	text, err := os.ReadFile(filepath.Join(c.dataDir(), "postmaster.pid"))
	lines := strings.Split(string(text), "\n")
	if err != nil || len(lines) < 8 || lines[0] != strconv.Itoa(pid) {
		return false
	}
	state := strings.TrimSpace(lines[7])
	return state == "ready" || state == "standby"
}
