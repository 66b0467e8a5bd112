// Command bench measures peat on PostgreSQL, each figure beside a reference that
// does the same work without peat and takes turns with it in the same run.
//
// It works in schemas of its own and drops them at the end. README.md says what the
// figures show and what they do not.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/peatlog/peat/bench/internal/server"
)

// command is the command line.
type command struct {
	DSN      string `name:"dsn" placeholder:"URL" help:"Measure on this server instead of starting one."`
	JSON     string `name:"json" placeholder:"FILE" type:"path" help:"Write the results to this file, too."`
	Chart    string `placeholder:"FILE" type:"path" help:"Draw the lines that have a reference, as .svg or .png."`
	Markdown bool   `help:"Print the table in Markdown."`
	From     string `placeholder:"FILE" type:"path" help:"Measure nothing: show what --json has written, also that of peers."`
	Only     string `placeholder:"NAME" help:"Run this scenario alone."`
	Quick    bool   `help:"Fewer events and rounds: to see that it works, not to quote."`
	Profile  string `placeholder:"FILE" type:"path" help:"Write a CPU profile of this process; its tag \"side\" is ours or reference."`
	List     bool   `help:"List the scenarios and exit."`
}

func main() {
	if childMain() {
		return
	}
	var c command
	parser := kong.Parse(&c, kong.Name("bench"), kong.Description("Measures peat against references taken in the same run."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	parser.FatalIfErrorf(c.run(ctx))
}

func (c command) run(ctx context.Context) error {
	if c.List {
		for _, s := range scenarios {
			fmt.Printf("%-22s %s\n", s.name, s.about)
		}
		return nil
	}
	if c.From != "" {
		results, err := readJSON(c.From)
		if err != nil {
			return err
		}
		return c.show(results)
	}
	chosen, err := choose(c.Only)
	if err != nil {
		return err
	}
	stop, err := profile(c.Profile)
	if err != nil {
		return err
	}
	defer stop()
	return server.With(c.DSN, func(dsn string) error {
		results, err := runAll(ctx, chosen, dsn, c.Quick)
		if len(results) == 0 {
			return err
		}
		return errors.Join(err, c.show(results)) // also after an error: what was measured is measured
	})
}

// show prints the results, and writes them where the command line says.
func (c command) show(results []result) error {
	text := table
	if c.Markdown {
		text = markdown
	}
	fmt.Print(text(results))
	var errs []error
	if c.JSON != "" {
		errs = append(errs, writeJSON(c.JSON, results))
	}
	if c.Chart != "" {
		errs = append(errs, chart(c.Chart, results))
	}
	return errors.Join(errs...)
}

// profile records where this process spends its time until stop is called.
func profile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, nil
}

// choose returns the scenario of this name, or all of them.
func choose(only string) ([]scenario, error) {
	if only == "" {
		return scenarios, nil
	}
	var names []string
	for _, s := range scenarios {
		if s.name == only {
			return []scenario{s}, nil
		}
		names = append(names, s.name)
	}
	return nil, fmt.Errorf("there is no scenario %q; there are %s", only, strings.Join(names, ", "))
}

func runAll(ctx context.Context, chosen []scenario, dsn string, quick bool) ([]result, error) {
	var all []result
	for _, s := range chosen {
		fmt.Fprintf(os.Stderr, "%s: %s\n", s.name, s.about)
		began := time.Now()
		results, err := runOne(ctx, s, dsn, quick)
		fmt.Fprintf(os.Stderr, "  took %v\n", time.Since(began).Round(100*time.Millisecond))
		all = append(all, results...)
		if err != nil {
			return all, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return all, nil
}

func runOne(ctx context.Context, s scenario, dsn string, quick bool) (_ []result, err error) {
	b, err := newBed(ctx, dsn, quick)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close(context.WithoutCancel(ctx))) }()
	return s.run(ctx, b)
}
