//go:build unix

package pgtest_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/internal/pgtest"
)

// TestServerEndsWithAKilledProcess kills a test process with SIGKILL, which leaves
// it no chance to clean up, and sees its server and data go.
//
// Meanwhile the server is suspended, which holds up the watchdog: that the victim's
// output ends at once shows that neither of the two has it open. "go test" would
// hang on it.
func TestServerEndsWithAKilledProcess(t *testing.T) {
	t.Parallel()
	if isChild() {
		victim(t)
	}
	cmd := child(t, "PEAT_TEST_DATABASE_URL=")
	out, url, data, postmaster := startVictim(t, cmd)
	if conn, err := pgx.Connect(t.Context(), url); err != nil {
		t.Fatal(err)
	} else if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	kill(t, postmaster, syscall.SIGSTOP)
	resume := func() { _ = syscall.Kill(postmaster, syscall.SIGCONT) }
	t.Cleanup(resume)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(data); err != nil {
		t.Errorf("output stayed open until the server had ended: %v", err)
	}
	resume()

	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "nobody listens on the port", func() bool {
		conn, err := net.Dial("tcp", net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))))
		if err == nil {
			_ = conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	eventually(t, "the cluster's folder is gone", func() bool {
		_, err := os.Stat(filepath.Dir(data))
		return os.IsNotExist(err)
	})
	_ = cmd.Wait() // says "signal: killed"
}

// TestServerEndsWithItsProcess is the same for a process that ends by itself.
func TestServerEndsWithItsProcess(t *testing.T) {
	t.Parallel()
	if isChild() {
		fmt.Printf("\nvictim data %s\n", dataDir(t, pgtest.Server(t)))
		return
	}
	out, err := child(t, "PEAT_TEST_DATABASE_URL=").CombinedOutput()
	_, rest, found := strings.Cut(string(out), "victim data ")
	if err != nil || !found {
		t.Fatalf("%v\n%s", err, out)
	}
	data, _, _ := strings.Cut(rest, "\n")
	eventually(t, "the cluster's folder is gone", func() bool {
		_, err := os.Stat(filepath.Dir(data))
		return os.IsNotExist(err)
	})
}

// victim starts the shared server, tells where it is and waits for its end. It
// waits on its input, so that it does not outlive a parent that failed.
func victim(t *testing.T) {
	c := pgtest.Server(t)
	data := dataDir(t, c)
	fmt.Printf("\nvictim %s %s %d\n", c.URL(), data, postmasterPID(t, data))
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// startVictim runs the victim until it has told where its server is.
func startVictim(t *testing.T, cmd *exec.Cmd) (out io.Reader, url, data string, postmaster int) {
	t.Helper()
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(pipe)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("victim told nothing: %v", err)
		}
		if n, _ := fmt.Sscanf(line, "victim %s %s %d", &url, &data, &postmaster); n == 3 {
			return lines, url, data, postmaster
		}
		t.Log(strings.TrimSpace(line))
	}
}
