//go:build unix

package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/subscribe"
)

// childVariable holds what a child process is to do. It is not on the command line,
// where everybody on the machine could read the password of the DSN.
const childVariable = "PEAT_BENCH_CHILD"

//go:embed sql/count_sessions.sql
var countSessions string

// orders are what a child process is to do: run the subscription "child" until it
// gets SIGTERM, or its parent ends.
type orders struct {
	DSN, Schema  string
	TTL, Recheck time.Duration
	// Project has it keep the balances, and report an event when its transaction has
	// committed. Otherwise it reports at the call of the handler.
	Project bool
}

// report is a line that a child prints: an event, and the time on the wall clock,
// which all processes of a machine share, in nanoseconds.
type report struct {
	Stream       int
	Version, Now int64
}

// childMain is the whole of a child process. It returns false in one that is none.
func childMain() bool {
	text := os.Getenv(childVariable)
	if text == "" {
		return false
	}
	var o orders
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = o.follow()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	return true
}

func (o orders) follow() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is gone
		stop()
	}()
	config, err := pgxpool.ParseConfig(o.DSN)
	if err != nil {
		return err
	}
	config.ConnConfig.RuntimeParams["application_name"] = o.Schema
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	store, err := postgres.Open(ctx, pool, postgres.Options{Schema: o.Schema})
	if err != nil {
		return err
	}
	consumer, tracers := o.consumer(store, &reporter{out: json.NewEncoder(os.Stdout)})
	run, err := start(ctx, store, subscribe.RunnerOptions{LeaseTTL: o.TTL, Recheck: o.Recheck, Tracers: tracers}, consumer)
	if err != nil {
		return err
	}
	<-run.ended
	return run.err
}

func (o orders) consumer(store *postgres.Store, out *reporter) (subscribe.Consumer, subscribe.Tracers) {
	c := subscribe.Consumer{Name: "child", Filter: es.Filter{Categories: []string{"bench"}}}
	if !o.Project {
		c.Delivery = subscribe.AtLeastOnce(subscribe.Each(union, subscribe.Func[event](func(_ context.Context, e es.Envelope[event]) error {
			return out.report(e.Recorded)
		})))
		return c, subscribe.Tracers{}
	}
	upsert := (&bed{schema: o.Schema}).inSchema(upsertOne)
	c.Delivery = subscribe.Transactional(store, subscribe.EachIn(union, func(ctx context.Context, tx pgx.Tx, e es.Envelope[event]) error {
		p := e.Event.(paid)
		_, err := tx.Exec(ctx, upsert, p.Stream, p.Cents)
		return err
	}))
	return c, subscribe.Tracers{Handle: out}
}

// reporter prints reports. It is a HandleTracer.
type reporter struct {
	mu  sync.Mutex
	out *json.Encoder
}

func (r *reporter) report(e es.Recorded) error {
	at := report{Version: e.Version, Now: time.Now().UnixNano()}
	if _, err := fmt.Sscan(e.Stream.Key, &at.Stream); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.Encode(at)
}

// TraceHandle implements subscribe.HandleTracer.
func (r *reporter) TraceHandle(ctx context.Context, h subscribe.Handling) (context.Context, func(int, error)) {
	return ctx, func(handled int, _ error) {
		for _, e := range h.Events[:handled] {
			_ = r.report(e) // the parent is gone, and so is soon this process
		}
	}
}

// TraceParked implements subscribe.HandleTracer.
func (*reporter) TraceParked(context.Context, string, es.Failure) {}

// process is a child at work.
type process struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	reports chan report // closed when it has ended
}

// spawn starts a child: this program again. The caller ends it.
func (b *bed) spawn(ctx context.Context, o orders) (*process, error) {
	o.DSN, o.Schema = b.dsn, b.schema
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, program), reports: make(chan report, 100_000)}
	p.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.read(out)
	return p, nil
}

// read takes the reports. A last line that a killed process did not finish counts for
// nothing.
func (p *process) read(out io.Reader) {
	defer close(p.reports)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var r report
		if json.Unmarshal(lines.Bytes(), &r) == nil {
			p.reports <- r
		}
	}
}

// next waits for a report.
func (p *process) next(ctx context.Context) (report, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case r, ok := <-p.reports:
		if !ok {
			return r, errors.New("the child has ended")
		}
		return r, nil
	case <-late.C:
		return report{}, errors.New("the child has not reported for " + patience.String())
	case <-ctx.Done():
		return report{}, ctx.Err()
	}
}

// end kills the child, also one that stands still, and returns what it has reported and
// nobody has read.
func (p *process) end() []report {
	_ = p.cmd.Process.Kill() // if it has not ended already
	_ = p.stdin.Close()
	var rest []report
	for r := range p.reports {
		rest = append(rest, r)
	}
	_ = p.cmd.Wait() // it was killed
	return rest
}

// awaitSessions waits until so many children have their session, and hear.
func (b *bed) awaitSessions(ctx context.Context, want int) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		n := 0
		err := b.pool.QueryRow(ctx, b.inSchema(countSessions), b.schema+" peat session").Scan(&n)
		if err != nil || n == want {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("there are %d sessions, not %d", n, want)
		}
	}
}
