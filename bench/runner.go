package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

// patience is how long a scenario waits for what should take moments.
const patience = 2 * time.Minute

// running is a runner at work.
type running struct {
	*subscribe.Runner
	stop  context.CancelFunc
	ended chan struct{} // closed behind err
	err   error
}

// start sets a runner to work. The caller ends it.
func start(ctx context.Context, store subscribe.RunnerStore, opts subscribe.RunnerOptions, consumers ...subscribe.Consumer) (*running, error) {
	opts.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	runner, err := subscribe.NewRunner(store, opts, consumers...)
	if err != nil {
		return nil, err
	}
	r := &running{Runner: runner, ended: make(chan struct{})}
	ctx, r.stop = context.WithCancel(ctx)
	go func() {
		defer close(r.ended)
		r.err = runner.Run(ctx)
	}()
	return r, nil
}

// end stops the runner and returns why it ended before, if it did.
func (r *running) end() error {
	r.stop()
	<-r.ended
	return r.err
}

// await waits for something of a handler or a tracer, unless the runner ends before.
func await[T any](ctx context.Context, r *running, c <-chan T) (got T, err error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case got = <-c:
	case <-r.ended:
		err = errors.Join(errors.New("the runner has ended"), r.err)
	case <-late.C:
		err = errors.New("nothing has come for " + patience.String())
	case <-ctx.Done():
		err = ctx.Err()
	}
	return got, err
}

// delivered tells when so many events are dealt with, their progress stored. It is a
// HandleTracer and a CheckpointTracer.
type delivered struct {
	left atomic.Int64
	all  chan struct{} // closed then
	then func()        // called before, on the goroutine of the reader; may be nil

	mu   sync.Mutex
	took []time.Duration // of each handing over with its commit
}

func newDelivered(events int) *delivered {
	d := &delivered{all: make(chan struct{})}
	d.left.Store(int64(events))
	return d
}

func (d *delivered) tracers() subscribe.Tracers {
	return subscribe.Tracers{Handle: d, Checkpoint: d}
}

// TraceHandle implements subscribe.HandleTracer.
func (d *delivered) TraceHandle(ctx context.Context, _ subscribe.Handling) (context.Context, func(int, error)) {
	return ctx, func(handled int, _ error) {
		left := d.left.Add(-int64(handled))
		if left <= 0 && left+int64(handled) > 0 {
			if d.then != nil {
				d.then()
			}
			close(d.all)
		}
	}
}

// TraceParked implements subscribe.HandleTracer.
func (*delivered) TraceParked(context.Context, string, es.Failure) {}

// TraceCheckpoint implements subscribe.CheckpointTracer.
func (d *delivered) TraceCheckpoint(_ context.Context, _ string, took time.Duration, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.took = append(d.took, took)
}

// polls counts polls. It is a PollTracer.
type polls struct {
	n     atomic.Int64
	empty chan string // gets the subscription of a poll that found nothing, if there is room
}

func newPolls() *polls { return &polls{empty: make(chan string, 1)} }

// TracePoll implements subscribe.PollTracer.
func (p *polls) TracePoll(ctx context.Context, subscription string) (context.Context, func(int, error)) {
	p.n.Add(1)
	return ctx, func(events int, err error) {
		if events > 0 || err != nil {
			return
		}
		select {
		case p.empty <- subscription:
		default:
		}
	}
}
