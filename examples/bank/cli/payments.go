package cli

import (
	"context"

	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/examples/bank/service"
)

type payCmd struct {
	storeFlag
	From   string `arg:"" help:"Number of the account that pays."`
	Bank   string `arg:"" help:"Code of the bank that the payment is for, such as YZ."`
	To     string `arg:"" help:"Number of the account there."`
	Amount amount `arg:"" help:"How much, such as 1234.56."`
}

// Run requests a payment to another bank.
func (c *payCmd) Run(ctx context.Context, p *Program) error {
	b, err := p.open(ctx, c.storeFlag, service.Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	to := account.Party{Bank: c.Bank, Account: c.To}
	id, _, err := b.Pay(ctx, service.Command{Actor: actor()}, c.From, to, money.Amount(c.Amount))
	if err != nil {
		return err
	}
	return p.printf("Requested payment %s of %s to %s; a server that runs carries it.\n", id, grouped(c.Amount), to)
}

type freezeCmd struct {
	storeFlag
	ID     string `arg:"" help:"Number of the account."`
	Reason string `required:"" placeholder:"TEXT" help:"Why."`
}

// Run stops what is taken out of an account.
func (c *freezeCmd) Run(ctx context.Context, p *Program) error {
	_, err := p.execute(ctx, c.storeFlag, c.ID, func(a *account.Account) ([]account.Event, error) { return a.Freeze(c.Reason) })
	if err != nil {
		return err
	}
	return p.printf("Froze account %s.\n", c.ID)
}

type unfreezeCmd struct {
	storeFlag
	ID string `arg:"" help:"Number of the account."`
}

// Run ends a freeze.
func (c *unfreezeCmd) Run(ctx context.Context, p *Program) error {
	if _, err := p.execute(ctx, c.storeFlag, c.ID, (*account.Account).Unfreeze); err != nil {
		return err
	}
	return p.printf("Account %s is no longer frozen.\n", c.ID)
}
