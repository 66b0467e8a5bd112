package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
)

type accountCmd struct {
	storeFlag
	ID   string `arg:"" help:"Number of the account."`
	Last int    `default:"10" placeholder:"N" help:"How many of its events to show, 0 for all."`
}

// Run shows an account.
func (c *accountCmd) Run(ctx context.Context, p *Program) error {
	b, err := p.open(ctx, c.storeFlag)
	if err != nil {
		return err
	}
	defer b.close()
	root, err := b.accounts.Load(ctx, c.ID)
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
	for rec, err := range b.store.ReadStream(ctx, root.Stream(), opts) {
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
	text := describe(env.Event)
	if env.Metadata.Actor != "" {
		text += ", by " + env.Metadata.Actor
	}
	_, err := fmt.Fprintf(w, "%d\t%s\t%s\t%s\t  %s\n", env.Version, day, change, printed, text)
	return err
}

// describe says in words what happened.
func describe(e account.Event) string {
	switch e := e.(type) {
	case account.Opened:
		return "opened"
	case account.Closed:
		return "closed"
	case account.Deposited:
		return "deposit"
	case account.Withdrawn:
		return "withdrawal"
	case account.TransferSent:
		return "transfer to account " + e.To
	case account.TransferReceived:
		return "transfer from account " + e.From
	case account.CashDeposited:
		return "cash deposit"
	case account.CashWithdrawn:
		return "cash withdrawal" + purpose(e.Purpose)
	case account.CardWithdrawn:
		return "card withdrawal"
	case account.PaymentReceived:
		return "payment from " + party(e.From) + purpose(e.Purpose)
	case account.PaymentSent:
		return "payment to " + party(e.To) + purpose(e.Purpose)
	case account.InterestCredited:
		return "interest"
	case account.PenaltyInterestCharged:
		return "penalty interest"
	case account.StatementFeeCharged:
		return "statement fee"
	default:
		return e.EventType() // of a newer program
	}
}

func party(p account.Party) string { return p.Account + "/" + p.Bank }

func purpose(p account.Purpose) string {
	if p == "" {
		return ""
	}
	return " (" + string(p) + ")"
}
