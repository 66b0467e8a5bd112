//go:build unix

package e2e_test

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/peatlog/peat/examples/bank/cli"
)

// childEnv has the arguments of the bank, for a process that is to be one.
const childEnv = "PEAT_BANK_CHILD"

// Tests start this program again, as a server of its own.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		program := cli.Program{Stdout: os.Stdout, Stderr: os.Stderr, Exit: os.Exit}
		os.Exit(program.Run(ctx, os.Args[1:]))
	}
	code := m.Run()
	endBrowser()
	os.Exit(code)
}
