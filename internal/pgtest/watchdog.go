//go:build unix

package pgtest

import (
	_ "embed" // for the watchdog's script
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

//go:embed watchdog.sh
var watchdogScript string

// watchdog is a small shell process that ends a cluster once the write end of a
// pipe is closed. The kernel closes it with the test process, also after SIGKILL,
// a panic or os.Exit, where no code of ours would run.
type watchdog struct {
	cmd  *exec.Cmd
	pipe *os.File
}

// startWatchdog starts the watchdog over a cluster's folder. It is in a session of
// its own, so that a Ctrl-C meant for the test does not end it first, and has none
// of the test's files open: "go test" waits until the last holder of the test's
// output has closed it. The pipe is not inherited by others, as Go marks its files
// close-on-exec.
func startWatchdog(dir string) (*watchdog, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	cmd := exec.Command("sh", "-c", watchdogScript, "pgtest-watchdog", dir)
	cmd.Dir = "/"
	cmd.Stdin = r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("start watchdog: %w", err)
	}
	return &watchdog{cmd: cmd, pipe: w}, nil
}

// guard names the process to end. A write that fails means that the watchdog has
// fired or was killed; there is nothing left to tell it.
func (w *watchdog) guard(pid int) { _, _ = fmt.Fprintln(w.pipe, pid) }

// release takes guard back, so that a number the system has given to another
// process is never signalled.
func (w *watchdog) release() { _, _ = fmt.Fprintln(w.pipe) }

// fire ends the guarded process, removes the folder and returns when that is done.
func (w *watchdog) fire() error {
	_ = w.pipe.Close()
	return w.cmd.Wait()
}
