package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/service"
)

type accountCmd struct {
	storeFlag
	ID   string `arg:"" help:"Number of the account."`
	Last int    `default:"10" placeholder:"N" help:"How many of its events to show, 0 for all."`
}

// Run shows an account.
func (c *accountCmd) Run(ctx context.Context, p *Program) error {
	b, err := p.open(ctx, c.storeFlag, service.Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	root, err := b.Accounts.Load(ctx, c.ID)
	if errors.Is(err, es.ErrStreamNotFound) {
		err = account.ErrNotOpen
	}
	if err != nil {
		return fmt.Errorf("account %s: %w", c.ID, err)
	}
	if err := p.printState(c.ID, root.State(), root.Version()); err != nil {
		return err
	}
	out := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	opts := es.ReadOptions{Backward: true, Limit: c.Last}
	for rec, err := range b.Log.ReadStream(ctx, root.Stream(), opts) {
		if err != nil {
			return err
		}
		env, err := es.Decode(account.Events, rec)
		if err != nil {
			return err
		}
		if err := printEvent(out, env); err != nil {
			return err
		}
	}
	return out.Flush()
}

func (p *Program) printState(id string, a *account.Account, version int64) error {
	holder := a.Holder
	if holder == "" {
		holder = "unknown, the ledger names none"
	}
	return p.printf(`Account %s
  holder     %s
  status     %s
  balance    %s
  overdraft  %s
  events     %d, newest first:
`, id, holder, a.Status, grouped(a.Balance), grouped(a.Overdraft), version)
}

// printEvent prints one line of columns: number, day, amount, printed balance,
// and what happened.
func printEvent(w io.Writer, env es.Envelope[account.Event]) error {
	day, change, printed := env.RecordedAt.Local().Format("2006-01-02"), "", ""
	if m, ok := env.Event.(account.Movement); ok {
		change = signed(m.Change())
	}
	if p, ok := env.Event.(account.Posting); ok {
		day, printed = string(p.Posted().Date), "= "+grouped(p.Posted().Printed)
	}
	text := account.Describe(env.Event)
	if env.Metadata.Actor != "" {
		text += ", by " + env.Metadata.Actor
	}
	_, err := fmt.Fprintf(w, "%d\t%s\t%s\t%s\t  %s\n", env.Version, day, change, printed, text)
	return err
}
