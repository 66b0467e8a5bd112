// Command bank is the example of peat: a small bank that imports a real bank's
// ledger, keeps accounts and moves money, on SQLite or PostgreSQL.
//
// Run without arguments it shows what it can do; README.md walks through the code.
package main

import (
	"context"
	_ "embed"
	"os"
	"os/signal"
	"syscall"

	"github.com/peatlog/peat/examples/bank/cli"
)

//go:embed testdata/czech-bank-1993.csv.gz
var statement []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	program := cli.Program{
		Stdout: os.Stdout, Stderr: os.Stderr, Exit: os.Exit,
		StatementName: "czech-bank-1993.csv.gz", Statement: statement,
	}
	os.Exit(program.Run(ctx, os.Args[1:]))
}
