// Command peers measures other libraries beside peat, in the same run on the same server.
//
// It is a module of its own, so that nobody who uses peat gets these libraries.
// ../README.md says what is measured and how each library is set up.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/bench/internal/server"
)

// command is the command line.
type command struct {
	DSN   string `name:"dsn" placeholder:"URL" help:"Measure on this server instead of starting one."`
	JSON  string `name:"json" placeholder:"FILE" type:"path" help:"Write the results to this file, too."`
	Only  string `placeholder:"NAME" help:"Run this scenario alone."`
	Quick bool   `help:"Shorter and fewer rounds: to see that it works, not to quote."`
}

func main() {
	var c command
	parser := kong.Parse(&c, kong.Name("peers"), kong.Description("Measures other libraries beside peat."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	parser.FatalIfErrorf(c.run(ctx))
}

func (c command) run(ctx context.Context) error {
	chosen := slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool { return c.Only != "" && s.name != c.Only })
	if len(chosen) == 0 {
		return fmt.Errorf("there is no scenario %q", c.Only)
	}
	return server.With(c.DSN, func(dsn string) error {
		var all []line
		for _, s := range chosen {
			lines, err := s.compare(ctx, dsn, c.Quick)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			for _, l := range lines {
				printLine(l)
			}
			all = append(all, lines...)
		}
		if c.JSON == "" {
			return nil
		}
		return writeJSON(c.JSON, all)
	})
}

// withLibrary runs f with a library on a schema of its own, which it drops at the end.
func withLibrary(ctx context.Context, dsn string, c contender, f func(*library) error) (err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	schema := "peat_peers_" + strings.ToLower(rand.Text()[:10])
	if _, err := conn.Exec(ctx, "CREATE SCHEMA "+schema); err != nil {
		return err
	}
	defer func() {
		_, dropped := conn.Exec(context.WithoutCancel(ctx), "DROP SCHEMA "+schema+" CASCADE")
		err = errors.Join(err, dropped)
	}()
	lib, err := c.open(ctx, dsn, schema)
	if err != nil {
		return err
	}
	defer lib.close()
	return f(lib)
}
