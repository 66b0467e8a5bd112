package subscribe

import (
	"context"

	"github.com/peatlog/peat/es"
)

// ConsumerStatus is where a consumer stands, whoever works on it.
type ConsumerStatus struct {
	Name string
	es.Generations
	// Readers are one for each segment, of the live generation first and then of
	// the one that is being built.
	Readers []ReaderStatus
	// Pins are the open transactions that hold back a Settled consumer which is
	// behind, the oldest first.
	Pins []es.Pin
}

// ReaderStatus is where the reader of one segment stands.
type ReaderStatus struct {
	Subscription                  string
	Generation, Segment, Segments int
	es.Reader
	// Lag is what is still to come; what the reader is at counts until its progress
	// is stored.
	Lag es.Lag
}

// Status returns where the consumers stand, in the order of the configuration. It is
// for people and monitoring: it counts what is still to come, which takes time where
// that is much.
func (r *Runner) Status(ctx context.Context) ([]ConsumerStatus, error) {
	all := make([]ConsumerStatus, 0, len(r.consumers))
	for _, c := range r.consumers {
		s, err := r.status(ctx, c)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func (r *Runner) status(ctx context.Context, c Consumer) (ConsumerStatus, error) {
	s := ConsumerStatus{Name: c.Name}
	var err error
	if s.Generations, err = r.store.Generations(ctx, c.Name, c.Segments); err != nil {
		return s, err
	}
	all := parts(s.Live, s.Segments)
	if s.Building > 0 {
		all = append(all, parts(s.Building, s.BuildingSegments)...)
	}
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = c.subscription(p)
	}
	readers, err := r.store.Readers(ctx, names...)
	if err != nil {
		return s, err
	}
	behind := false
	for i, p := range all {
		lag, err := r.store.Lag(ctx, readers[i].Checkpoint, c.feedOptions(p.segment, p.segments))
		if err != nil {
			return s, err
		}
		behind = behind || lag.Events > 0
		s.Readers = append(s.Readers, ReaderStatus{names[i], p.generation, p.segment, p.segments, readers[i], lag})
	}
	if behind && c.Horizon == es.Settled {
		s.Pins, err = r.store.Pins(ctx)
	}
	return s, err
}
