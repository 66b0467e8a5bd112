package cli

import (
	"context"
	"fmt"
	"os/user"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
)

// amount is an amount of money as an argument. It is a type of its own because
// money in events is a number, not text.
type amount money.Amount

// UnmarshalText implements [encoding.TextUnmarshaler].
func (a *amount) UnmarshalText(text []byte) error {
	parsed, err := money.Parse(string(text))
	*a = amount(parsed)
	return err
}

type openCmd struct {
	storeFlag
	ID        string `arg:"" help:"Number of the new account."`
	Holder    string `required:"" placeholder:"NAME" help:"Who it belongs to."`
	Overdraft amount `default:"0" placeholder:"AMOUNT" help:"How far below zero it may go."`
}

// Run opens an account.
func (c *openCmd) Run(ctx context.Context, p *Program) error {
	_, err := p.execute(ctx, c.storeFlag, c.ID, func(a *account.Account) ([]account.Event, error) {
		return a.Open(c.Holder, money.Amount(c.Overdraft))
	})
	if err != nil {
		return err
	}
	return p.printf("Opened account %s for %s.\n", c.ID, c.Holder)
}

type depositCmd struct {
	storeFlag
	ID     string `arg:"" help:"Number of the account."`
	Amount amount `arg:"" help:"How much, such as 1234.56."`
}

// Run puts money into an account.
func (c *depositCmd) Run(ctx context.Context, p *Program) error {
	state, err := p.execute(ctx, c.storeFlag, c.ID, func(a *account.Account) ([]account.Event, error) {
		return a.Deposit(money.Amount(c.Amount))
	})
	if err != nil {
		return err
	}
	return p.printf("Deposited %s, the balance of account %s is %s.\n", grouped(c.Amount), c.ID, grouped(state.Balance))
}

type withdrawCmd struct {
	storeFlag
	ID     string `arg:"" help:"Number of the account."`
	Amount amount `arg:"" help:"How much, such as 1234.56."`
}

// Run takes money out of an account.
func (c *withdrawCmd) Run(ctx context.Context, p *Program) error {
	state, err := p.execute(ctx, c.storeFlag, c.ID, func(a *account.Account) ([]account.Event, error) {
		return a.Withdraw(money.Amount(c.Amount))
	})
	if err != nil {
		return err
	}
	return p.printf("Withdrew %s, the balance of account %s is %s.\n", grouped(c.Amount), c.ID, grouped(state.Balance))
}

type closeCmd struct {
	storeFlag
	ID string `arg:"" help:"Number of the account."`
}

// Run closes an account.
func (c *closeCmd) Run(ctx context.Context, p *Program) error {
	if _, err := p.execute(ctx, c.storeFlag, c.ID, (*account.Account).Close); err != nil {
		return err
	}
	return p.printf("Closed account %s.\n", c.ID)
}

type transferCmd struct {
	storeFlag
	From   string `arg:"" help:"Number of the account that pays."`
	To     string `arg:"" help:"Number of the account that receives."`
	Amount amount `arg:"" help:"How much, such as 1234.56."`
}

// Run moves money between two accounts.
func (c *transferCmd) Run(ctx context.Context, p *Program) error {
	b, err := p.open(ctx, c.storeFlag)
	if err != nil {
		return err
	}
	defer b.close()
	err = account.Transfer(onBehalfOfUser(ctx), b.accounts, b.inTx, c.From, c.To, money.Amount(c.Amount))
	if err != nil {
		return err
	}
	return p.printf("Transferred %s from account %s to account %s.\n", grouped(c.Amount), c.From, c.To)
}

// execute runs one decision on one account and returns the state after it.
func (p *Program) execute(ctx context.Context, flag storeFlag, id string, decide func(*account.Account) ([]account.Event, error)) (*account.Account, error) {
	b, err := p.open(ctx, flag)
	if err != nil {
		return nil, err
	}
	defer b.close()
	root, err := b.accounts.Execute(onBehalfOfUser(ctx), id, decide)
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", id, err)
	}
	return root.State(), nil
}

// onBehalfOfUser returns a context whose events remember who caused them.
func onBehalfOfUser(ctx context.Context) context.Context {
	actor := "unknown"
	if u, err := user.Current(); err == nil {
		actor = u.Username
	}
	return es.WithMetadata(ctx, es.Metadata{Actor: actor})
}
