package subscribe

import (
	"context"
	"errors"
	"fmt"

	"github.com/peatlog/peat/es"
)

// Store is what a subscription needs of a store.
type Store interface {
	es.Feed
	es.Checkpointer
	es.Pinner
}

// Options says what a subscription delivers. The zero value delivers everything
// that has committed.
type Options struct {
	Filter  es.Filter
	Horizon es.Horizon
	// BatchEvents and BatchBytes bound a batch; 0 means the feed's defaults.
	BatchEvents, BatchBytes int
}

func (o Options) feed() es.FeedOptions {
	return es.FeedOptions{Filter: o.Filter, Horizon: o.Horizon, MaxEvents: o.BatchEvents, MaxBytes: o.BatchBytes}
}

// Subscription follows the log under a name, with a checkpoint in the store. It
// belongs to one goroutine. Close it when it is not polled any more.
type Subscription struct {
	store   Store
	name    string
	horizon es.Horizon
	feed    ahead

	loaded   bool
	revision int64         // of the stored checkpoint
	next     es.Checkpoint // behind what was polled
	batch    es.Batch      // polled last
}

// New returns the subscription of this name. It reads nothing yet.
func New(store Store, name string, opts Options) (*Subscription, error) {
	feed, err := opts.feed().WithDefaults()
	if name == "" {
		err = errors.Join(errors.New("the name is empty"), err)
	}
	if err != nil {
		return nil, fmt.Errorf("subscription %q: %w", name, err)
	}
	return &Subscription{store: store, name: name, horizon: feed.Horizon, feed: ahead{feed: store, opts: feed}}, nil
}

// Name returns the subscription's name.
func (s *Subscription) Name() string { return s.name }

// Poll returns the next events, none if there is nothing to deliver now. The first
// poll begins behind the stored checkpoint, each further one behind the last.
//
// After an error nothing of the batch is handed over, and the next poll begins
// behind the stored checkpoint again, because a position that was only kept in
// memory is not safe across a crash of the server. Errors to branch on are those
// of es.Feed; es.ErrOrderingViolation comes again and again until a reset.
//
// While the caller works on a batch, what follows is read in the background if the
// log is sure to have more: at least 8,000 events at a time, in no more bytes than a
// batch may have. That holds one connection until it is read, for 30 seconds at most, or
// until [Subscription.Close], but does not end with ctx. A poll hands it over if it is
// what comes next, whatever became of the server meanwhile, and reads for itself
// otherwise.
func (s *Subscription) Poll(ctx context.Context) ([]es.Recorded, error) {
	batch, err := s.read(ctx)
	if errors.Is(err, es.ErrLostCheckpoint) { // the server has crashed between two polls
		batch, err = s.read(ctx)
	}
	if err != nil {
		if violation, ok := errors.AsType[*es.OrderingViolationError](err); ok {
			violation.Subscription = s.name
			return nil, violation
		}
		return nil, fmt.Errorf("subscription %q: %w", s.name, err)
	}
	s.batch, s.next = batch, batch.Next
	return batch.Events, nil
}

// read reads the next batch. An error makes it begin behind the stored checkpoint
// the next time.
func (s *Subscription) read(ctx context.Context) (es.Batch, error) {
	if err := s.load(ctx); err != nil {
		return es.Batch{}, err
	}
	batch, err := s.feed.read(ctx, s.next)
	s.loaded = err == nil
	return batch, err
}

func (s *Subscription) load(ctx context.Context) (err error) {
	if s.loaded {
		return nil
	}
	s.next, s.revision, err = s.store.LoadCheckpoint(ctx, s.name)
	s.batch, s.loaded = es.Batch{}, err == nil
	return err
}

// Close ends what is read in the background, and returns when it has ended. The
// subscription may be polled again: it stores nothing and forgets nothing.
func (s *Subscription) Close() { s.feed.end() }

// Checkpoint stores that everything polled so far is done. It gives
// es.ErrStaleCheckpoint, and changes nothing, if somebody else has stored a
// checkpoint under this name since; the next poll then begins behind theirs. After a
// crash of the server it gives es.ErrLostCheckpoint, because what was polled before
// may not have survived; the next poll begins behind the stored checkpoint.
func (s *Subscription) Checkpoint(ctx context.Context) error {
	if err := s.load(ctx); err != nil {
		return err
	}
	return s.save(ctx, s.next)
}

// CheckpointAfter stores that the first n events of the last batch are done. The
// next poll goes on behind the whole batch all the same; after a restart the rest
// comes again.
func (s *Subscription) CheckpointAfter(ctx context.Context, n int) error {
	if n < 0 || n > len(s.batch.Events) {
		return fmt.Errorf("subscription %q: checkpoint after %d events of a batch of %d", s.name, n, len(s.batch.Events))
	}
	if n == len(s.batch.Events) {
		return s.Checkpoint(ctx)
	}
	return s.save(ctx, s.batch.Prefix(n))
}

// Reset goes back to the beginning of the log, in the store and for the next poll.
func (s *Subscription) Reset(ctx context.Context) error {
	if err := s.load(ctx); err != nil {
		return err
	}
	if err := s.save(ctx, ""); err != nil {
		return err
	}
	s.next, s.batch = "", es.Batch{}
	return nil
}

func (s *Subscription) save(ctx context.Context, cp es.Checkpoint) error {
	err := s.store.SaveProgress(ctx, es.Progress{Subscription: s.name, Revision: s.revision, Checkpoint: cp})
	if err != nil {
		s.loaded = false
		return err
	}
	s.revision++
	return nil
}

// Status is where a subscription stands.
type Status struct {
	Name    string
	Horizon es.Horizon
	// Checkpoint is the stored one, and Revision grows whenever it is stored.
	Checkpoint es.Checkpoint
	Revision   int64
	// Pins are the open transactions that hold back a Settled subscription, the
	// oldest first; what is younger than that one waits for it. Under Committed
	// there are none.
	Pins []es.Pin
}

// Status reads where the subscription stands, for people and monitoring. Unlike the
// other methods it may be called by any goroutine.
func (s *Subscription) Status(ctx context.Context) (Status, error) {
	status := Status{Name: s.name, Horizon: s.horizon}
	var err error
	if status.Checkpoint, status.Revision, err = s.store.LoadCheckpoint(ctx, s.name); err != nil {
		return Status{}, err
	}
	if s.horizon == es.Settled {
		if status.Pins, err = s.store.Pins(ctx); err != nil {
			return Status{}, fmt.Errorf("subscription %q: %w", s.name, err)
		}
	}
	return status, nil
}
