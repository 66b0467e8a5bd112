// Package service puts the bank together: the accounts in a store, the read models,
// the process that carries payments, and the commands that all ways in share.
//
// # Model
//
// A [Bank] is opened on a store. Commands ([Bank.Execute], [Bank.Transfer],
// [Bank.Pay]) return a [Receipt], which says where in the log they are; [Bank.Wait]
// waits until the read models have come as far. [Bank.Run] runs the read models and
// the process; any number of processes may run them on one PostgreSQL.
//
// # Concurrency
//
// A Bank is safe for concurrent use.
//
// # Errors
//
// Those of package account, [ErrStale], [ErrKeyReused], and those of the store.
package service

import (
	"context"
	"log/slog"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/clearing"
	"github.com/peatlog/peat/examples/bank/live"
	"github.com/peatlog/peat/examples/bank/views"
	"github.com/peatlog/peat/subscribe"
)

// Bank is a bank on a store.
type Bank struct {
	Accounts *account.Repository
	// Log is the store, for those who import and read whole streams.
	Log es.Store
	// Views are the read models.
	Views *views.DB
	// Runner runs them, and knows where they stand.
	Runner *subscribe.Runner
	// Feed tells of events as they come.
	Feed *live.Feed

	backend   *backend
	inTx      account.InTx
	consumers []string // their names
}

// Options configures [Open]. The zero value works.
type Options struct {
	// Network carries payments; nil means one that is simulated.
	Network clearing.Network
	// Logger gets what goes wrong; nil discards.
	Logger *slog.Logger
	// LeaseTTL is that of the runner; 0 means its default.
	LeaseTTL time.Duration
}

// Open opens the bank at an address: sqlite:PATH or a URL of PostgreSQL. The caller
// closes it.
func Open(ctx context.Context, address string, opts Options) (*Bank, error) {
	if opts.Network == nil {
		opts.Network = clearing.Simulated{}
	}
	backend, err := openBackend(ctx, address)
	if err != nil {
		return nil, err
	}
	b := &Bank{
		Accounts: account.NewRepository(backend.store), Log: backend.store, Views: backend.views,
		Feed: live.New(), backend: backend, inTx: backend.inTx,
	}
	consumers := append(b.Views.Consumers(), clearing.Consumer(b.Accounts, opts.Network))
	for _, c := range consumers {
		b.consumers = append(b.consumers, c.Name)
	}
	b.Runner, err = subscribe.NewRunner(backend.store, subscribe.RunnerOptions{Logger: opts.Logger, LeaseTTL: opts.LeaseTTL}, consumers...)
	if err != nil {
		backend.close()
		return nil, err
	}
	return b, nil
}

// Close closes the store. Nothing may be under way.
func (b *Bank) Close() { b.backend.close() }

// Run works until ctx ends: on the read models and the payments, together with other
// processes, and on the feed of this one.
func (b *Bank) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- b.Feed.Follow(ctx, b.backend.store, b.newest)
	}()
	err := b.Runner.Run(ctx)
	cancel()
	if failed := <-done; err == nil {
		err = failed
	}
	return err
}

// newest returns the checkpoint of the overview, where the feed begins.
func (b *Bank) newest(ctx context.Context) (es.Checkpoint, error) {
	status, err := b.Runner.Status(ctx)
	if err != nil {
		return "", err
	}
	for _, s := range status {
		if s.Name == views.Accounts {
			return s.Readers[0].Checkpoint, nil
		}
	}
	return "", nil
}
