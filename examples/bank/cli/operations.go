package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/peatlog/peat/examples/bank/service"
)

type statusCmd struct{ storeFlag }

// Run shows where the consumers stand, and what is set aside.
func (c *statusCmd) Run(ctx context.Context, p *Program) error {
	b, err := p.open(ctx, c.storeFlag, service.Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	all, err := b.Status(ctx)
	if err != nil {
		return err
	}
	out := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
	_, err = fmt.Fprintln(out, "CONSUMER\tBEHIND\tSET ASIDE\tGENERATION\tREBUILD\tERROR")
	for _, s := range all {
		rebuild := "-"
		if s.Building > 0 {
			rebuild = fmt.Sprintf("%d: %.0f %%", s.Building, s.Progress*100)
		}
		_, failed := fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%s\t%s\n", s.Name, s.Behind, s.Parked, s.Generation, rebuild, strings.Join(s.Errors, "; "))
		err = errors.Join(err, failed)
	}
	if err := errors.Join(err, out.Flush()); err != nil {
		return err
	}
	for _, s := range all {
		if s.Parked == 0 {
			continue
		}
		parked, err := b.Parked(ctx, s.Name)
		if err != nil {
			return err
		}
		for _, e := range parked {
			why := e.Error
			if why == "" {
				why = "waits behind the one before"
			}
			if err := p.printf("%s: account %s, event %d is set aside: %s\n", s.Name, e.Stream.Key, e.Version, why); err != nil {
				return err
			}
		}
	}
	return nil
}

type rebuildCmd struct {
	storeFlag
	Name   string `arg:"" help:"Name of the read model, as the status says it."`
	Cancel bool   `help:"Give up a rebuild."`
}

// Run has a read model built again by the servers that run, and shows how far it is.
func (c *rebuildCmd) Run(ctx context.Context, p *Program) error {
	b, err := p.open(ctx, c.storeFlag, service.Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	if c.Cancel {
		return b.CancelRebuild(ctx, c.Name)
	}
	generation, err := b.Rebuild(ctx, c.Name)
	if err != nil {
		return err
	}
	p.tell("generation %d of %s is being built by the servers that run; Ctrl-C leaves it to them\n", generation, c.Name)
	shown := -1
	for {
		s, err := statusOf(ctx, b, c.Name)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case s.Generation == generation:
			return p.printf("Rebuilt %s: generation %d is live.\n", c.Name, generation)
		case s.Building != generation:
			return fmt.Errorf("the rebuild of %s was given up", c.Name)
		}
		if percent := int(s.Progress * 100); percent != shown {
			shown = percent
			p.tell("%3d %%\n", percent)
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func statusOf(ctx context.Context, b *service.Bank, name string) (service.ConsumerStatus, error) {
	all, err := b.Status(ctx)
	for _, s := range all {
		if s.Name == name {
			return s, err
		}
	}
	return service.ConsumerStatus{}, errors.Join(err, service.ErrNoConsumer)
}

type redriveCmd struct {
	storeFlag
	Name string `arg:"" help:"Name of the consumer, as the status says it."`
	ID   string `arg:"" optional:"" help:"Number of the account whose events are to be delivered again; all without it."`
}

// Run asks for events that are set aside to be delivered again.
func (c *redriveCmd) Run(ctx context.Context, p *Program) error {
	b, err := p.open(ctx, c.storeFlag, service.Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	n, err := b.Redrive(ctx, c.Name, c.ID)
	if err != nil {
		return err
	}
	return p.printf("%d events of %s are delivered again by the servers that run.\n", n, c.Name)
}

type discardCmd struct {
	storeFlag
	Name    string `arg:"" help:"Name of the consumer, as the status says it."`
	ID      string `arg:"" help:"Number of the account."`
	Version int64  `arg:"" help:"Version of the event."`
	Reason  string `required:"" placeholder:"TEXT" help:"Why it is given up, for good."`
}

// Run gives up an event that is set aside.
func (c *discardCmd) Run(ctx context.Context, p *Program) error {
	b, err := p.open(ctx, c.storeFlag, service.Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Discard(ctx, c.Name, c.ID, c.Version, actor(), c.Reason); err != nil {
		return err
	}
	return p.printf("Event %d of account %s is given up for %s.\n", c.Version, c.ID, c.Name)
}
