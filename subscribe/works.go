package subscribe

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/peatlog/peat/es"
)

const (
	// planInterval is how often the generations and what is parked are looked at again,
	// should the word of a change have been lost.
	planInterval = 10 * time.Second
	// firstTick is how soon after an event the log is looked at for more; the pause
	// doubles up to PollInterval.
	firstTick = 50 * time.Millisecond
)

// works is what a Run has going.
type works struct {
	*Runner
	session es.Session
	// wanted are the parts of all consumers by subscription, and stopped the errors
	// of those that cannot go on.
	wanted  map[string]want
	stopped map[string]error
	// paused holds until when to leave a part to whoever has overtaken.
	paused map[string]time.Time
	shares map[string]share // by consumer, of those in several parts
	// takingOver holds the consumers whose generation is about to change, with a
	// token each.
	takingOver sync.Map
	background sync.WaitGroup

	nextPlan, nextDivide, nextAcquire, nextRenew, nextTick time.Time
	tick                                                   time.Duration

	mu      sync.RWMutex // guards the map, for appenders that wake
	running map[string]*running
}

// want is a part that somebody must work on.
type want struct {
	consumer Consumer
	part     part
	building bool
}

func newWorks(r *Runner) *works {
	return &works{Runner: r, stopped: map[string]error{}, paused: map[string]time.Time{}, shares: map[string]share{}, running: map[string]*running{}}
}

// pokeAll wakes all readers.
func (w *works) pokeAll() {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, r := range w.running {
		r.poke()
	}
}

// allStopped returns the errors of all parts if none of them can go on.
func (w *works) allStopped() error {
	if w.wanted == nil || len(w.stopped) < len(w.wanted) {
		return nil
	}
	var errs []error
	for _, err := range w.stopped {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// run opens a session and works as long as it lasts. It tells whether there was one.
func (w *works) run(ctx context.Context) (opened bool, err error) {
	if err := w.plan(ctx); err != nil {
		return false, err
	}
	opening, cancel := context.WithTimeout(ctx, w.opts.LeaseTTL)
	defer cancel()
	if w.session, err = w.store.OpenSession(opening, es.SessionOptions{TTL: w.opts.LeaseTTL}); err != nil {
		return false, err
	}
	defer w.end(ctx)
	w.nextDivide, w.nextAcquire, w.nextTick, w.tick = time.Time{}, time.Time{}, time.Time{}, firstTick
	w.nextRenew = time.Now().Add(w.opts.LeaseTTL / 3)
	for ctx.Err() == nil && w.allStopped() == nil {
		if err := w.turn(ctx); err != nil {
			return true, err
		}
	}
	return true, nil
}

// turn does what is due, and waits for news or for what is due next.
func (w *works) turn(ctx context.Context) error {
	now := time.Now()
	for _, duty := range []struct {
		next  *time.Time
		every time.Duration
		do    func(ctx context.Context) error
	}{
		{&w.nextPlan, planInterval, w.replan},
		{&w.nextRenew, w.opts.LeaseTTL / 3, w.renew},
		{&w.nextDivide, w.opts.LeaseTTL / 3, w.divide},
		{&w.nextAcquire, w.opts.Recheck, w.acquire},
		{&w.nextTick, w.tick, w.look},
	} {
		if now.Before(*duty.next) {
			continue
		}
		*duty.next = now.Add(duty.every)
		if err := duty.do(ctx); err != nil {
			return err
		}
	}
	if err := w.reap(ctx); err != nil {
		return err
	}
	return w.await(ctx)
}

// asking returns the context of a statement of the session: the end of ctx does not
// cut it, and it cannot keep the session from being renewed.
func (w *works) asking(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), w.opts.LeaseTTL/3)
}

// await waits for news, at most until something is due.
func (w *works) await(ctx context.Context) error {
	due := w.nextRenew
	for _, t := range []time.Time{w.nextPlan, w.nextDivide, w.nextAcquire, w.nextTick} {
		if t.Before(due) {
			due = t
		}
	}
	news, err := w.session.Wait(ctx, max(time.Until(due), time.Millisecond))
	if err != nil {
		return err
	}
	if news.Changed {
		w.nextPlan, w.nextDivide, w.nextAcquire = time.Time{}, time.Time{}, time.Time{}
		for _, r := range w.running {
			r.lookAgain.Store(true)
		}
	}
	if news.Changed || news.Appended {
		w.pokeAll()
		w.tick = firstTick
	}
	return nil
}

// replan looks at the generations again. What cannot be read now stays as it was.
func (w *works) replan(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, w.opts.LeaseTTL/3) // not by the session, so it may end with ctx
	defer cancel()
	if err := w.plan(asking); err != nil && ctx.Err() == nil {
		w.opts.Logger.WarnContext(ctx, "the generations cannot be read; are all connections of the pool in use?", "error", err)
		return nil
	}
	for name, r := range w.running {
		want, ok := w.wanted[name]
		if !ok {
			r.end() // its generation has been replaced
		}
		if r.building.Swap(want.building) != want.building || r.waits.Load() {
			r.lookAgain.Store(true)
			r.poke()
		}
	}
	return nil
}

// plan says what is to be worked on.
func (w *works) plan(ctx context.Context) error {
	defer waiting(ctx, w.opts.Logger, "generations")()
	wanted := map[string]want{}
	for _, c := range w.consumers {
		g, err := w.store.Generations(ctx, c.Name, c.Segments)
		if err != nil {
			return err
		}
		if g.Segments != c.Segments && w.wanted == nil {
			w.opts.Logger.WarnContext(ctx, "the consumer is divided otherwise than it is configured; rebuild it to change that",
				"consumer", c.Name, "segments", g.Segments, "configured", c.Segments)
		}
		for _, p := range parts(g.Live, g.Segments) {
			wanted[c.subscription(p)] = want{c, p, false}
		}
		if g.Building == 0 {
			continue
		}
		if c.Delivery.prepare == nil {
			w.opts.Logger.ErrorContext(ctx, "the consumer is to be rebuilt, but its handlers cannot; add OnRebuild, or cancel the rebuild", "consumer", c.Name)
			continue
		}
		for _, p := range parts(g.Building, g.BuildingSegments) {
			wanted[c.subscription(p)] = want{c, p, true}
		}
	}
	w.wanted = wanted
	for name := range w.stopped {
		if _, ok := wanted[name]; !ok {
			delete(w.stopped, name)
		}
	}
	return nil
}

// acquire takes what nobody works on, as much as is fair.
func (w *works) acquire(ctx context.Context) error {
	for _, d := range w.demands() {
		asking, cancel := w.asking(ctx)
		got, err := w.session.Acquire(asking, d.names, d.most)
		cancel()
		for _, name := range got {
			w.start(ctx, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// renew makes the session heard of, and ends the readers whose leases are lost.
func (w *works) renew(ctx context.Context) error {
	asking, cancel := w.asking(ctx)
	defer cancel()
	held, err := w.session.Renew(asking)
	if err != nil {
		return err
	}
	for name, r := range w.running {
		if !r.ending && !slices.Contains(held, name) {
			r.log.WarnContext(ctx, "the lease is lost")
			r.end()
		}
	}
	return nil
}

// look wakes the readers for which there may be something new.
func (w *works) look(ctx context.Context) error {
	w.tick = min(2*w.tick, w.opts.PollInterval)
	var resting []*running
	var behind []es.Checkpoint
	for _, r := range w.running {
		if at := r.resting.Load(); at != nil {
			resting, behind = append(resting, r), append(behind, *at)
		}
	}
	if len(resting) == 0 {
		w.takeOverWhatIsReady(ctx)
		return nil
	}
	asking, cancel := w.asking(ctx)
	defer cancel()
	grown, err := w.session.Grown(asking, behind)
	if err != nil {
		return err
	}
	for i, r := range resting {
		if grown[i] {
			w.tick = firstTick
		}
		if grown[i] || r.building.Load() {
			r.poke()
		}
	}
	w.takeOverWhatIsReady(ctx)
	return nil
}
