package cli

import (
	"context"

	"github.com/peatlog/peat/examples/bank/service"
)

// storeFlag is the flag of every command that works on a store of the user's.
type storeFlag struct {
	Store string `env:"PEAT_BANK_STORE" placeholder:"S" help:"Where the events are: sqlite:PATH or postgres://user@host/database. Default: a SQLite file in your data folder."`
}

// open opens the bank and tells the user which store it is on.
func (p *Program) open(ctx context.Context, flag storeFlag, opts service.Options) (*service.Bank, error) {
	address := flag.Store
	if address == "" {
		var err error
		if address, err = service.DefaultAddress(); err != nil {
			return nil, err
		}
	}
	b, err := service.Open(ctx, address, opts)
	if err != nil {
		return nil, err
	}
	p.tell("store: %s\n", service.Redacted(address))
	return b, nil
}
