package subscribe_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
	"github.com/peatlog/peat/internal/pgtest"
	"github.com/peatlog/peat/subscribe"
)

// childEnv tells a re-executed test binary that it is a process to be harmed.
const childEnv = "PEAT_TEST_CHILD"

func isChild() bool { return os.Getenv(childEnv) != "" }

// child is a process that runs the test's own name as a child.
type child struct {
	cmd *exec.Cmd
	in  io.Writer

	mu  sync.Mutex
	out bytes.Buffer
}

func newChild(t *testing.T, log *backends.Postgres) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.timeout=2m")}
	c.cmd.Env = append(os.Environ(), childEnv+"=1", urlEnv+"="+pgtest.Server(t).URL(), schemaEnv+"="+log.Options.Schema)
	c.cmd.Stdout, c.cmd.Stderr = c, c
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.cmd.Process.Kill() //nolint:errcheck // it may have ended
		c.cmd.Wait()         //nolint:errcheck // it was killed
		t.Logf("the child said:\n%s", c.said())
	})
	return c
}

func (c *child) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *child) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

// await waits until the child has said something.
func (c *child) await(t *testing.T, text string) {
	t.Helper()
	eventually(t, fmt.Sprintf("said by the child: %q", text), func() bool { return strings.Contains(c.said(), text) })
}

func (c *child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// freeze stops the child, and returns when all of it stands still.
func (c *child) freeze(t *testing.T) {
	t.Helper()
	c.signal(t, syscall.SIGSTOP)
	threads := fmt.Sprintf("/proc/%d/task/*/stat", c.cmd.Process.Pid)
	eventually(t, "the child stands still", func() bool {
		files, err := filepath.Glob(threads) // none where there is no /proc
		for _, file := range files {
			stat, readErr := os.ReadFile(file)
			_, state, _ := strings.Cut(string(stat), ") ")
			if err != nil || readErr != nil || !strings.HasPrefix(state, "T") {
				return false
			}
		}
		return true
	})
}

// playChild is what the child does: it runs a consumer and says what happens.
func playChild(t *testing.T, opts subscribe.RunnerOptions, deliver func(store *postgres.Store) subscribe.Delivery) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), os.Getenv(urlEnv))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	store, err := postgres.Open(t.Context(), pool, postgres.Options{Schema: os.Getenv(schemaEnv)})
	if err != nil {
		t.Fatal(err)
	}
	opts.Holder = "child"
	opts.Logger = slog.New(slog.NewTextHandler(os.Stdout, nil))
	opts.Tracers.Checkpoint = said{}
	r, err := subscribe.NewRunner(store, opts, consumer("moves", deliver(store)))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// said is a tracer that says what became of progress.
type said struct{}

func (said) TraceCheckpoint(_ context.Context, subscription string, _ time.Duration, err error) {
	fmt.Printf("progress of %s: %v\n", subscription, err)
}

// handled is a handler that tells when it is called.
type handled chan time.Time

func (h handled) Handle(context.Context, es.Envelope[note]) error { h <- time.Now(); return nil }

// next waits for the next call.
func (h handled) next(t *testing.T) time.Time {
	t.Helper()
	select {
	case at := <-h:
		return at
	case <-time.After(20 * time.Second):
		t.Fatal("nothing is delivered")
		return time.Time{}
	}
}

// standby starts a runner that finds the work taken, and returns when it waits for it.
func (h handled) standby(t *testing.T, log *backends.Postgres, opts subscribe.RunnerOptions) (stop func()) {
	t.Helper()
	app := unique()
	store, _ := process(t, log, app, 4)
	r, err := subscribe.NewRunner(store, opts, consumer("moves", subscribe.AtLeastOnce(subscribe.Each(notes, h))))
	if err != nil {
		t.Fatal(err)
	}
	stop = start(t, r)
	awaitSession(t, log, app)
	return stop
}

// awaitSession waits until a process has opened its session and asked for leases.
func awaitSession(t *testing.T, log *backends.Postgres, app string) {
	t.Helper()
	const sql = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND query LIKE '%advisory%')"
	eventually(t, "a session of "+app, func() (opened bool) {
		if err := log.Pool.QueryRow(t.Context(), sql, app+" peat session").Scan(&opened); err != nil {
			t.Fatal(err)
		}
		return opened
	})
}

// The server ends the session of a killed process with its connection, so another one
// goes on after Recheck, long before the TTL. The bound is that of a busy machine; the
// figures are in the output.
func TestKilledProcessIsReplacedBeforeItsTTL(t *testing.T) {
	t.Parallel()
	opts := quick(t)
	opts.LeaseTTL = 15 * time.Second
	h := make(handled, 100)
	if isChild() {
		playChild(t, opts, func(*postgres.Store) subscribe.Delivery {
			return subscribe.AtLeastOnce(subscribe.Each(notes, h))
		})
		return
	}
	log := backends.NewPostgres(t)
	for round := range 3 {
		c := newChild(t, log)
		c.await(t, "began")
		stop := h.standby(t, log, opts)
		killed := time.Now()
		c.signal(t, syscall.SIGKILL)
		write(t, log.Store, "a", round)
		took := h.next(t).Sub(killed)
		t.Logf("killed, another replica goes on after %v, with a Recheck of %v", took, opts.Recheck)
		if took > opts.Recheck+3*time.Second {
			t.Errorf("after a kill it took %v", took)
		}
		stop()
	}
}

// Who stops lets the others know: nobody waits for Recheck.
func TestStoppedRunnerIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	opts := quick(t)
	opts.LeaseTTL, opts.Recheck = 15*time.Second, time.Minute
	h := make(handled, 100)
	stop := h.standby(t, log, opts)
	for round := range 5 {
		write(t, log.Store, "a", round)
		h.next(t)
		next := h.standby(t, log, opts)
		stopped := time.Now()
		stop()
		write(t, log.Store, "b", round)
		took := h.next(t).Sub(stopped)
		t.Logf("stopped, another replica goes on after %v", took)
		if took > time.Second {
			t.Errorf("after a stop it took %v", took)
		}
		stop = next
	}
}
