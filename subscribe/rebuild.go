package subscribe

import (
	"cmp"
	"context"
	"fmt"

	"github.com/peatlog/peat/es"
)

// almost is how many events the new generation may still lack when the live one is
// made to wait for it.
const almost = 1000

// RebuildOptions configures [Runner.Rebuild]. The zero value works.
type RebuildOptions struct {
	// Segments is the number of segments of the new generation, 0 for as many as
	// the live one has.
	Segments int
	// Keep keeps the progress of the old generation, and what is parked there.
	Keep bool
}

// Rebuild has a consumer built again from the beginning of the log, beside the live
// generation, which goes on. When the new generation has come as far, the live one
// stands still for a moment, and takeOver of [OnRebuild] and the change of
// generations commit together. It returns the number of the new generation at once:
// the processes that run the consumer do the work. [Runner.Status] tells how far it
// is.
//
// It gives es.ErrRebuilding while another one is being built. The handlers need an
// [OnRebuild].
func (r *Runner) Rebuild(ctx context.Context, name string, opts RebuildOptions) (generation int, err error) {
	c, err := r.consumer(name)
	if err != nil {
		return 0, err
	}
	if c.Delivery.prepare == nil {
		return 0, fmt.Errorf("consumer %q cannot be rebuilt: its handlers do not tell generations apart; add OnRebuild", name)
	}
	if opts.Segments < 0 || opts.Segments > maxSegments {
		return 0, fmt.Errorf("rebuild of %q: Segments is %d, want 1 to %d", name, opts.Segments, maxSegments)
	}
	g, err := r.store.Generations(ctx, name, c.Segments)
	if err != nil {
		return 0, err
	}
	g, err = r.store.BeginRebuild(ctx, name, cmp.Or(opts.Segments, g.Segments), opts.Keep)
	return g.Building, err
}

// CancelRebuild gives up the generation that is being built. What its handlers have
// written stays; the next generation has another number. It gives
// es.ErrNotRebuilding where there is none.
func (r *Runner) CancelRebuild(ctx context.Context, name string) error {
	c, err := r.consumer(name)
	if err != nil {
		return err
	}
	g, err := r.store.Generations(ctx, name, c.Segments)
	if err != nil {
		return err
	}
	return r.store.CancelRebuild(ctx, c.takeOver(g))
}

// takeOver is the change from the live generation to the one that is being built.
func (c Consumer) takeOver(g es.Generations) es.TakeOver {
	return es.TakeOver{
		Name: c.Name, To: g.Building,
		Live: c.subscriptions(g.Live, g.Segments), Next: c.subscriptions(g.Building, g.BuildingSegments),
	}
}

// takeOverWhatIsReady begins to change the generations of consumers whose new one
// has caught up, as far as this process can tell: it works on its first segment.
func (w *works) takeOverWhatIsReady(ctx context.Context) {
	for _, r := range w.running {
		if !r.building.Load() || r.part.segment > 0 || !r.caughtUp.Load() && !r.atEnd.Load() {
			continue
		}
		if _, busy := w.takingOver.LoadOrStore(r.consumer.Name, true); busy {
			continue
		}
		w.background.Go(func() {
			defer w.takingOver.Delete(r.consumer.Name)
			done, err := w.takeOver(ctx, r.consumer)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				r.log.WarnContext(ctx, "the new generation could not take over, trying again", "error", err)
			case done:
				r.log.InfoContext(ctx, "the new generation has taken over")
			}
			sleep(ctx, w.opts.Recheck)
		})
	}
}

func (w *works) takeOver(ctx context.Context, c Consumer) (bool, error) {
	g, err := w.store.Generations(ctx, c.Name, c.Segments)
	if err != nil || g.Building == 0 {
		return false, err
	}
	t := c.takeOver(g)
	states, err := w.store.Readers(ctx, t.Next...)
	if err != nil {
		return false, err
	}
	for i, s := range states {
		lag, err := w.store.Lag(ctx, s.Checkpoint, c.feedOptions(i, g.BuildingSegments))
		if err != nil || lag.More || lag.Events > almost {
			return false, err
		}
	}
	return c.Delivery.takeOver(ctx, w.store, t, g.Live)
}
