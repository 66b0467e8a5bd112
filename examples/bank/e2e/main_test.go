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

// childEnv is set for a process that is to be the bank.
const childEnv = "PEAT_BANK_CHILD"

// Tests start this program again, as a server of its own.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	code := m.Run()
	endBrowser()
	os.Exit(code)
}

// child is the bank.
func child() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	program := cli.Program{Stdout: os.Stdout, Stderr: os.Stderr, Exit: os.Exit}
	return program.Run(ctx, os.Args[1:])
}
