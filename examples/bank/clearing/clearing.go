// Package clearing carries payments to other banks: a process over events.
//
// # Model
//
// A request for a payment takes the money out of the account. The process reads the
// request, sends the payment over the [Network], and records on the account that it
// was settled, or rejected; it reads the rejection in turn and records the refund.
// The state of the process is the account's stream, nothing else.
//
// # Delivery
//
// Each event comes at least once, and so does each step that follows from it. The id
// of a step's command is made of the event's, so the step lands once; a network must
// recognise the id of a payment that it is sent again. A payment that the network
// cannot tell about is tried again and then set aside, until an operator has it
// redriven; payments of other accounts go on.
package clearing

import (
	"context"
	"errors"
	"fmt"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/subscribe"
)

// Name is that of the consumer.
const Name = "clearing"

// Network is the way to other banks. Safe for concurrent use.
type Network interface {
	// Send hands a payment to the bank that it is for. Nil says that it has the
	// money, a [*RejectedError] that it never will. Any other error says that it is
	// not known: the payment is sent again, with the same id, which a bank must
	// recognise.
	Send(ctx context.Context, p account.PaymentRequested) error
}

// RejectedError is why another bank does not take a payment.
type RejectedError struct{ Reason string }

// Error implements error.
func (e *RejectedError) Error() string { return "rejected: " + e.Reason }

// steps are the events that something follows from.
var steps = codec.Part(account.Accounts.Events(),
	codec.Case(func(e account.PaymentRequested) account.PaymentStep { return e }),
	codec.Case(func(e account.PaymentRejected) account.PaymentStep { return e }),
)

// segments is into how many parts the accounts are divided, which several processes
// share.
const segments = 4

// Consumer returns the process for a runner.
func Consumer(accounts *account.Repository, network Network) subscribe.Consumer {
	p := process{accounts, network}
	return subscribe.Consumer{
		Name: Name, Segments: segments, OnFailure: subscribe.Park,
		Delivery: subscribe.AtLeastOnce(subscribe.Each(steps, subscribe.Func[account.PaymentStep](p.next))),
	}
}

type process struct {
	accounts *account.Repository
	network  Network
}

// next takes the step that follows from an event.
func (p process) next(ctx context.Context, e es.Envelope[account.PaymentStep]) error {
	switch event := e.Event.(type) {
	case account.PaymentRequested:
		err := p.network.Send(ctx, event)
		if rejected, ok := errors.AsType[*RejectedError](err); ok {
			return p.record(ctx, e, func(a *account.Account) ([]account.Event, error) {
				return a.RejectPayment(event.Payment, rejected.Reason)
			})
		}
		if err != nil {
			return fmt.Errorf("bank %s: %w", event.To.Bank, err)
		}
		return p.record(ctx, e, func(a *account.Account) ([]account.Event, error) {
			return a.SettlePayment(event.Payment)
		})
	case account.PaymentRejected:
		return p.record(ctx, e, func(a *account.Account) ([]account.Event, error) {
			return a.RefundPayment(event.Payment)
		})
	}
	return nil
}

// record executes the command that follows from an event. However often the event
// comes, it lands once: also when one process has a payment settled and another one,
// which was overtaken, believes it to be rejected.
func (p process) record(ctx context.Context, e es.Envelope[account.PaymentStep], decide func(*account.Account) ([]account.Event, error)) error {
	ctx = es.WithCommandID(ctx, Name+"/"+e.ID.String())
	_, err := p.accounts.Execute(ctx, e.Stream.Key, decide)
	return err
}
