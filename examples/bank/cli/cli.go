// Package cli is the command line of the example bank: one file per command, or
// per small group of them. It holds no rules; those are in package account.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/examples/bank/service"
)

// Program is the bank's command line and what it needs of the world.
type Program struct {
	// Stdout takes the results, Stderr everything else.
	Stdout, Stderr io.Writer
	// Exit ends the process, for --help and wrong usage. It must not return.
	Exit func(code int)
	// StatementName and Statement are the file that the default command imports.
	StatementName string
	Statement     []byte
}

// grammar is the command line as kong understands it.
type grammar struct {
	Demo     demoCmd     `cmd:"" default:"1" help:"Import the shipped statement into a fresh SQLite file and print the report. The default."`
	Import   importCmd   `cmd:"" help:"Import a bank's statement file and reconcile the ledger."`
	Account  accountCmd  `cmd:"" help:"Show an account and its last events."`
	Open     openCmd     `cmd:"" help:"Open an account."`
	Deposit  depositCmd  `cmd:"" help:"Put money into an account."`
	Withdraw withdrawCmd `cmd:"" help:"Take money out of an account."`
	Transfer transferCmd `cmd:"" help:"Move money from one account to another."`
	Close    closeCmd    `cmd:"" help:"Close an account, which must be empty."`
	Freeze   freezeCmd   `cmd:"" help:"Stop what is taken out of an account."`
	Unfreeze unfreezeCmd `cmd:"" help:"End a freeze."`
	Pay      payCmd      `cmd:"" help:"Pay to an account at another bank."`
	Serve    serveCmd    `cmd:"" help:"Serve the pages and the HTTP interface."`
	Status   statusCmd   `cmd:"" help:"Show where the read models stand, and what is set aside."`
	Rebuild  rebuildCmd  `cmd:"" help:"Build a read model again while it is in use."`
	Redrive  redriveCmd  `cmd:"" help:"Deliver events again that are set aside."`
	Discard  discardCmd  `cmd:"" help:"Give up an event that is set aside."`
}

// Run runs the command that args say and returns the exit code: 0, or 1 when it
// was refused or failed and a line on Stderr says why.
func (p *Program) Run(ctx context.Context, args []string) int {
	if arg := negative(args); arg != "" { // kong would take it for a flag
		return p.fail(fmt.Errorf("%s: no amount and no number may be negative here", arg))
	}
	parser := kong.Must(new(grammar),
		kong.Name("bank"),
		kong.Description("A small bank on peat. Without a command it shows what it can do."),
		kong.Writers(p.Stdout, p.Stderr), kong.Exit(p.Exit), kong.ShortUsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(p))
	command, err := parser.Parse(args)
	parser.FatalIfErrorf(err)
	if err := command.Run(); err != nil {
		return p.fail(err)
	}
	return 0
}

// fail prints an error as one line and returns the exit code.
func (p *Program) fail(err error) int {
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\t' })
	p.tell("bank: %s%s\n", strings.Join(lines, " "), advice(err))
	return 1
}

// printf prints a result.
func (p *Program) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(p.Stdout, format, args...)
	return err
}

// tell says what is not a result. Nobody could be told that it failed.
func (p *Program) tell(format string, args ...any) {
	_, _ = fmt.Fprintf(p.Stderr, format, args...)
}

// negative returns the first argument that is a negative number, "" if none is.
func negative(args []string) string {
	for _, arg := range args {
		if n, err := money.Parse(arg); err == nil && n < 0 {
			return arg
		}
	}
	return ""
}

// advice says what the user can do about an error, where the error does not.
func advice(err error) string {
	for _, known := range []struct {
		err  error
		text string
	}{
		{account.ErrNotOpen, "check the number, or open it with: bank open ID --holder NAME"},
		{account.ErrAlreadyOpen, "choose another number"},
		{account.ErrClosed, "that is for good, use another account"},
		{account.ErrBalanceNotZero, "withdraw, transfer or pay in the difference first"},
		{account.ErrFrozen, "unfreeze it first"},
		{account.ErrPaymentsUnderWay, "wait until they are settled or refunded"},
		{service.ErrNoConsumer, "see them with: bank status"},
		{es.ErrBusy, "nothing was written, try again"},
		{es.ErrInvalidStream, "choose another account number"},
	} {
		if errors.Is(err, known.err) {
			return "; " + known.text
		}
	}
	return ""
}
