package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/subscribe"
)

// Errors of commands, beside those of the rules.
var (
	// ErrStale: the account has changed since the client has seen it.
	ErrStale = errors.New("the account has changed since")
	// ErrKeyReused: the key was used for another command.
	ErrKeyReused = account.ErrCommandReused
)

// Command is what every command has. The zero value is a command of nobody.
type Command struct {
	// Key makes the command land once, however often it is sent; "" draws one.
	Key string
	// Request stands for what is asked for: the same key with another one is
	// refused, if both are given.
	Request string
	// Actor is on whose behalf it happens.
	Actor string
	// IfVersion is the version that the account must have; 0 is any.
	IfVersion int64
}

// Receipt says where a command has landed.
type Receipt struct {
	// Version is that of the account, of the one that pays in a transfer.
	Version int64
	// Position is the place in the log, for [Bank.Wait].
	Position int64
	// Repeated tells that it had landed before.
	Repeated bool
}

// Decision is a decision of an account.
type Decision = func(*account.Account) ([]account.Event, error)

// Keys of the metadata that a command leaves on its events.
const (
	keyOf     = "command"
	requestOf = "request"
)

// Execute runs a decision on an account.
func (b *Bank) Execute(ctx context.Context, c Command, id string, decide Decision) (r Receipt, err error) {
	if err := account.CheckID(id); err != nil {
		return r, err
	}
	c.Key = cmp.Or(c.Key, uuid.NewString())
	root, err := b.Accounts.Execute(c.on(ctx), id, func(a *account.Account) ([]account.Event, error) {
		if c.IfVersion != 0 && a.Version != c.IfVersion {
			return nil, fmt.Errorf("%w: it is at version %d, not %d", ErrStale, a.Version, c.IfVersion)
		}
		return decide(a)
	})
	if err != nil {
		return r, fmt.Errorf("account %s: %w", id, err)
	}
	at := root.LastAppend()
	if at.Duplicate {
		err = b.sameRequest(ctx, c, root.Stream())
	}
	return Receipt{Version: root.Version(), Position: at.Position, Repeated: at.Duplicate}, err
}

// tries is how often a transaction is repeated that the store did not get through.
const tries = 5

// Transfer moves money between two accounts.
func (b *Bank) Transfer(ctx context.Context, c Command, t account.Transfer) (r Receipt, err error) {
	if err := errors.Join(account.CheckID(t.From), account.CheckID(t.To)); err != nil {
		return r, err
	}
	c.Key, t.ID = cmp.Or(c.Key, uuid.NewString()), uuid.NewString()
	var at es.AppendResult
	for try := 1; ; try++ { // safe, because the command has an id
		at, err = t.Run(c.on(ctx), b.Accounts, b.inTx)
		if try == tries || !errors.Is(err, es.ErrBusy) && !errors.Is(err, es.ErrOutcomeUnknown) || !pause(ctx, try) {
			break
		}
	}
	if err == nil && at.Duplicate {
		err = b.sameRequest(ctx, c, es.StreamID{Category: account.Accounts.Category(), Key: t.From})
	}
	return Receipt{Version: at.Version, Position: at.Position, Repeated: at.Duplicate}, err
}

// Pay begins a payment to another bank and returns its id, which is the command's.
func (b *Bank) Pay(ctx context.Context, c Command, from string, to account.Party, amount money.Amount) (id string, r Receipt, err error) {
	c.Key = cmp.Or(c.Key, uuid.NewString())
	id = uuid.NewSHA1(payments, []byte(from+"\x00"+c.Key)).String()
	r, err = b.Execute(ctx, c, from, func(a *account.Account) ([]account.Event, error) {
		return a.RequestPayment(id, to, amount)
	})
	return id, r, err
}

// payments is the namespace of the ids of payments (RFC 9562, version 5).
var payments = uuid.MustParse("5f0c9d0e-2f5b-4d0e-8a6c-6c5f3c1f0b77")

// on returns a context whose events are the command's.
func (c Command) on(ctx context.Context) context.Context {
	values := map[string]string{keyOf: c.Key}
	if c.Request != "" {
		values[requestOf] = c.Request
	}
	return es.WithCommandID(es.WithMetadata(ctx, es.Metadata{Actor: c.Actor, Values: values}), "bank/"+c.Key)
}

// sameRequest looks at what the command's key has left in a stream.
func (b *Bank) sameRequest(ctx context.Context, c Command, stream es.StreamID) error {
	for rec, err := range b.Log.ReadStream(ctx, stream, es.ReadOptions{Backward: true}) {
		if err != nil {
			return err
		}
		if values := rec.Metadata.Values; values[keyOf] == c.Key {
			if values[requestOf] != c.Request {
				return ErrKeyReused
			}
			return nil
		}
	}
	return nil
}

// Wait waits until these read models hold what is at a position. What was set aside
// is not waited for.
func (b *Bank) Wait(ctx context.Context, position int64, consumers ...string) error {
	for _, name := range consumers {
		err := b.Runner.WaitFor(ctx, name, es.AppendResult{Position: position})
		if err != nil && !errors.Is(err, subscribe.ErrParked) {
			return err
		}
	}
	return nil
}

// pause waits before another try, and tells whether there is to be one.
func pause(ctx context.Context, try int) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Duration(try) * 20 * time.Millisecond):
		return true
	}
}
