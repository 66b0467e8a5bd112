package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/clearing"
	"github.com/peatlog/peat/subscribe"
)

// ErrNoConsumer says that there is no consumer of this name.
var ErrNoConsumer = errors.New("no such consumer")

// ConsumerStatus is where a consumer stands.
type ConsumerStatus struct {
	Name string
	// Generation is the live one, Building the one that a rebuild makes, 0 for none,
	// and Progress how far that is, from 0 to 1.
	Generation, Building int
	Progress             float64
	// Behind is how many events are to come, MoreBehind that there are more than were
	// counted, and Age how long the oldest of them has waited.
	Behind     int
	MoreBehind bool
	Age        time.Duration
	// Holders are the processes that work on it.
	Holders []string
	// Parked is how many events are set aside.
	Parked int
	// Errors are why its readers stopped.
	Errors []string
	// Rebuildable tells that its tables can be built again.
	Rebuildable bool
}

// Status returns where the consumers stand, whichever process works on them.
func (b *Bank) Status(ctx context.Context) ([]ConsumerStatus, error) {
	all, err := b.Runner.Status(ctx)
	if err != nil {
		return nil, err
	}
	statuses := make([]ConsumerStatus, len(all))
	for i, c := range all {
		statuses[i] = statusOf(c)
	}
	return statuses, nil
}

func statusOf(c subscribe.ConsumerStatus) ConsumerStatus {
	s := ConsumerStatus{Name: c.Name, Generation: c.Live, Building: c.Building, Rebuildable: rebuildable(c.Name), Progress: 1}
	for _, r := range c.Readers {
		if r.Held && !slices.Contains(s.Holders, r.Holder) {
			s.Holders = append(s.Holders, r.Holder)
		}
		if r.Error != "" {
			s.Errors = append(s.Errors, r.Error)
		}
		if r.Generation != c.Live {
			s.Progress = min(s.Progress, r.Lag.Done)
			continue
		}
		s.Parked += r.Parked
		s.Behind += r.Lag.Events
		s.MoreBehind = s.MoreBehind || r.Lag.More
		s.Age = max(s.Age, r.Lag.Age)
	}
	slices.Sort(s.Holders)
	return s
}

// rebuildable tells a read model from the process that carries payments, which
// would do everything again.
func rebuildable(name string) bool { return name != clearing.Name }

// Rebuild has a read model built again beside the live one, by the processes that
// run. [Bank.Status] tells how far it is.
func (b *Bank) Rebuild(ctx context.Context, name string) (generation int, err error) {
	if err := b.check(name); err != nil {
		return 0, err
	}
	if !rebuildable(name) {
		return 0, fmt.Errorf("%s: %w that can be rebuilt: it is a process, no read model", name, ErrNoConsumer)
	}
	return b.Runner.Rebuild(ctx, name, subscribe.RebuildOptions{})
}

// CancelRebuild gives up a rebuild.
func (b *Bank) CancelRebuild(ctx context.Context, name string) error {
	if err := b.check(name); err != nil {
		return err
	}
	return b.Runner.CancelRebuild(ctx, name)
}

// Parked returns the events of a consumer that are set aside.
func (b *Bank) Parked(ctx context.Context, name string) ([]es.Parked, error) {
	if err := b.check(name); err != nil {
		return nil, err
	}
	return b.Runner.Parked(ctx, name)
}

// Redrive has the parked events of an account delivered again, of all accounts for
// "", and tells how many they are.
func (b *Bank) Redrive(ctx context.Context, name, id string) (int, error) {
	if err := b.check(name); err != nil {
		return 0, err
	}
	stream := es.StreamID{}
	if id != "" {
		if err := account.CheckID(id); err != nil {
			return 0, err
		}
		stream = streamOf(id)
	}
	return b.Runner.Redrive(ctx, name, stream)
}

// Discard gives up a parked event for good, and has those behind it delivered.
func (b *Bank) Discard(ctx context.Context, name, id string, version int64, by, reason string) error {
	if err := b.check(name); err != nil {
		return err
	}
	if err := errors.Join(account.CheckID(id), account.CheckReason(reason)); err != nil {
		return err
	}
	if err := b.Runner.Discard(ctx, name, streamOf(id), version, by, reason); err != nil {
		return err
	}
	_, err := b.Runner.Redrive(ctx, name, streamOf(id))
	return err
}

func streamOf(id string) es.StreamID {
	return es.StreamID{Category: account.Accounts.Category(), Key: id}
}

// check refuses names of no consumer.
func (b *Bank) check(name string) error {
	if !slices.Contains(b.consumers, name) {
		return fmt.Errorf("%.50q: %w", name, ErrNoConsumer)
	}
	return nil
}
