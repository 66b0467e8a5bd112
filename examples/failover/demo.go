package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

const (
	childVariable = "PEAT_FAILOVER_CHILD"
	inTime        = 16 * time.Second // LeaseTTL and Recheck, by default
)

// demo is what the processes have said.
type demo struct {
	lines    chan string
	handlers map[string]int // of the segments: process ids
	out      io.Writer
}

// showTakeover starts two processes, kills the first, and fails unless the second one
// takes over in time.
func showTakeover(ctx context.Context, dsn, schema string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	d := demo{make(chan string), map[string]int{}, out}
	first, err := d.start(ctx, dsn, schema)
	if err != nil {
		return err
	}
	defer first.end()
	if err := d.listen(ctx, nil, func() bool { return len(d.handlers) == segments }); err != nil {
		return err
	}
	second, err := d.start(ctx, dsn, schema)
	if err != nil {
		return err
	}
	defer second.end()
	if err := d.listen(ctx, time.After(2*time.Second), func() bool { return false }); err != nil { // it stands by
		return err
	}
	d.say(fmt.Sprintf("kill -9 %d", first.cmd.Process.Pid))
	killed := time.Now()
	if err := first.cmd.Process.Kill(); err != nil {
		return err
	}
	err = d.listen(ctx, nil, func() bool {
		for _, pid := range d.handlers {
			if pid != second.cmd.Process.Pid {
				return false
			}
		}
		return true
	})
	took := time.Since(killed).Round(time.Millisecond)
	if err == nil && took > inTime {
		err = fmt.Errorf("process %d has taken over after %v only", second.cmd.Process.Pid, took)
	}
	if err == nil {
		d.say(fmt.Sprintf("process %d has taken over after %v", second.cmd.Process.Pid, took))
	}
	return err
}

// listen passes on what the processes say, until done says so or there is a signal.
func (d *demo) listen(ctx context.Context, signal <-chan time.Time, done func() bool) error {
	for !done() {
		select {
		case line := <-d.lines:
			d.say(line)
			var pid int
			var segment string
			if n, _ := fmt.Sscanf(line, "process %d: handles %s", &pid, &segment); n == 2 {
				d.handlers[segment] = pid
			}
		case <-signal:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (d *demo) say(line string) {
	fmt.Fprintln(d.out, line) //nolint:errcheck // for people to read
}

// child is a process of the demo.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

func (d *demo) start(ctx context.Context, dsn, schema string) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, program, "--schema", schema)}
	c.cmd.Env = append(os.Environ(), childVariable+"=1", "DATABASE_URL="+dsn) // where no other user reads the password
	c.cmd.Stderr = os.Stderr
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	go func() {
		for s := bufio.NewScanner(stdout); s.Scan(); {
			select {
			case d.lines <- s.Text():
			case <-ctx.Done():
			}
		}
	}()
	return c, c.cmd.Start()
}

// end ends the process in good order, unless it was killed.
func (c *child) end() {
	_ = c.stdin.Close()
	_ = c.cmd.Wait()
}
