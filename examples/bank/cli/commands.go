package cli

import (
	"context"
	"os/user"

	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/examples/bank/service"
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
	b, err := p.open(ctx, c.storeFlag, service.Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	transfer := account.Transfer{From: c.From, To: c.To, Amount: money.Amount(c.Amount)}
	if _, err := b.Transfer(ctx, service.Command{Actor: actor()}, transfer); err != nil {
		return err
	}
	return p.printf("Transferred %s from account %s to account %s.\n", grouped(c.Amount), c.From, c.To)
}

// execute runs one decision on one account and returns the state after it.
func (p *Program) execute(ctx context.Context, flag storeFlag, id string, decide service.Decision) (*account.Account, error) {
	b, err := p.open(ctx, flag, service.Options{})
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if _, err := b.Execute(ctx, service.Command{Actor: actor()}, id, decide); err != nil {
		return nil, err
	}
	root, err := b.Accounts.Load(ctx, id)
	if err != nil {
		return nil, err
	}
	return root.State(), nil
}

// actor is who events remember to have been caused by.
func actor() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}
