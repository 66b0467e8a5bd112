package subscribe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/peatlog/peat/es"
)

// RunnerStore is what a [Runner] needs of a store.
type RunnerStore interface {
	Store
	es.Monitor
	es.Coordinator
	es.ParkingLot
	es.GenerationStore
}

// RunnerOptions configures a [Runner]. The zero value works.
type RunnerOptions struct {
	// Holder names this process for people, in the status and the log; "" means
	// the host's name and the process id.
	Holder string
	// LeaseTTL is after what time a process that stands still, or cannot reach the
	// server, loses its work to another; a process that ends loses it at once. The
	// server's clock counts. 0 means 15 s, at least 1 s.
	LeaseTTL time.Duration
	// Recheck is how often a process tries to get work that another one has. What
	// is given up in good order, it hears of at once. 0 means 1 s, at least 10 ms.
	Recheck time.Duration
	// PollInterval bounds how late an event can be whose wake-up was lost. 0 means
	// 1 s, at least 10 ms.
	PollInterval time.Duration
	// Logger gets what goes wrong and who works on what; nil discards.
	Logger *slog.Logger
	// Tracers are told what happens.
	Tracers Tracers
}

func (o RunnerOptions) withDefaults() (RunnerOptions, error) {
	var faults []error
	for _, d := range []struct {
		name       string
		got, least time.Duration
	}{
		{"LeaseTTL", o.LeaseTTL, time.Second}, {"Recheck", o.Recheck, 10 * time.Millisecond}, {"PollInterval", o.PollInterval, 10 * time.Millisecond},
	} {
		if d.got != 0 && d.got < d.least {
			faults = append(faults, fmt.Errorf("%s is %v, below %v", d.name, d.got, d.least))
		}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	o.Holder = cmp.Or(o.Holder, host+":"+strconv.Itoa(os.Getpid()))
	o.LeaseTTL, o.Recheck = cmp.Or(o.LeaseTTL, 15*time.Second), cmp.Or(o.Recheck, time.Second)
	o.PollInterval = cmp.Or(o.PollInterval, time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, errors.Join(faults...)
}

// Runner works on consumers, together with other processes that run the same ones:
// each segment of a consumer is worked on by one process at a time. A Runner is safe
// for concurrent use. All methods but Run also do their work in a process that does
// not run it.
type Runner struct {
	store     RunnerStore
	consumers []Consumer
	opts      RunnerOptions
	// moved tells that progress was stored by this process.
	moved announcer
}

// NewRunner returns a runner of these consumers. It reads nothing yet. An error
// names all the faults of the configuration.
func NewRunner(store RunnerStore, opts RunnerOptions, consumers ...Consumer) (*Runner, error) {
	r := &Runner{store: store}
	var err error
	var faults []error
	if r.opts, err = opts.withDefaults(); err != nil {
		faults = append(faults, err)
	}
	names := map[string]bool{}
	for _, c := range consumers {
		c, err := c.withDefaults()
		if err != nil {
			faults = append(faults, err)
		}
		if names[c.Name] {
			faults = append(faults, fmt.Errorf("there are two consumers %q", c.Name))
		}
		names[c.Name] = true
		r.consumers = append(r.consumers, c)
	}
	if len(consumers) == 0 {
		faults = append(faults, errors.New("there is no consumer"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("runner: %w", err)
	}
	return r, nil
}

// consumer returns the one of a name.
func (r *Runner) consumer(name string) (Consumer, error) {
	for _, c := range r.consumers {
		if c.Name == name {
			return c, nil
		}
	}
	return Consumer{}, fmt.Errorf("the runner has no consumer %q", name)
}

// Run works until ctx ends, and then returns nil: handlers are told to end by their
// context, what they have finished is stored, and other processes can go on at
// once. Nothing that Run has started outlives it, neither a goroutine nor a call of the
// store. So it waits for handlers that go on after the end of their context, and for a
// server that does not answer up to LeaseTTL and some seconds. It may run once at a time.
//
// A lost connection is tried again. A consumer that stops, because of a handler that
// keeps failing or a checkpoint that cannot be used, leaves the others alone; when
// all have stopped, Run returns their errors.
func (r *Runner) Run(ctx context.Context) error {
	w := newWorks(r)
	defer r.store.OnAppend(w.pokeAll)()
	defer w.awaitAll()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // also when all have stopped
	for failures := 0; ; {
		opened, err := w.run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := w.allStopped(); err != nil {
			return err
		}
		failures++
		if opened {
			failures = 1
			r.opts.Logger.WarnContext(ctx, "the session is lost, opening another", "error", err)
		} else {
			r.opts.Logger.WarnContext(ctx, "no session can be opened, trying again", "error", err, "failures", failures)
		}
		if !sleep(ctx, backoff(50*time.Millisecond, 5*time.Second, failures)) {
			return nil
		}
	}
}
