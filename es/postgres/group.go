package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/groupcommit"
)

const (
	// maxBatchBytes bounds what several appends bring into one statement: it is in
	// memory a few times over, here and on the server, and delays whom it is with.
	maxBatchBytes = 4 << 20
	// maxAppendBytes bounds a single append: PostgreSQL takes no message of 1 GiB.
	maxAppendBytes = 512 << 20
)

// request is an append on its way into the log.
type request struct {
	es.Prepared
	stream string // printed
	bytes  int    // of the payloads, about
}

func newRequest(p es.Prepared) (request, error) {
	r := request{Prepared: p, stream: p.Stream.String()}
	r.bytes = len(r.stream)
	for i, e := range p.Events {
		r.bytes += len(e.Type) + len(e.Data) + len(p.Metadata[i]) + 64
	}
	if r.bytes > maxAppendBytes {
		return r, fmt.Errorf("%w: the append to %s has %d bytes, the limit is %d; append in several steps", es.ErrTooLarge, p.Stream, r.bytes, maxAppendBytes)
	}
	return r, nil
}

// queue collects the appends of concurrent callers.
type queue = groupcommit.Queue[request, outcome]

// newQueue returns the queue of s, nil where it is switched off.
func (s *Store) newQueue() *queue {
	if s.opts.Ungrouped {
		return nil
	}
	return groupcommit.New(s.flush, groupcommit.Options[request, outcome]{
		Flushers: s.opts.Flushers, MaxWaiting: s.opts.MaxQueued,
		MaxSize: maxBatchBytes, Size: func(r request) int { return r.bytes },
		Key:   func(r request) string { return r.stream },
		Alone: s.appendAlone, Abandon: true,
	})
}

// appendGrouped writes an append together with others.
func (s *Store) appendGrouped(ctx context.Context, r request) (outcome, error) {
	if s.queue == nil {
		return s.appendAlone(ctx, r)
	}
	o, err := s.queue.Do(ctx, r)
	if errors.Is(err, groupcommit.ErrInFlight) || errors.Is(err, groupcommit.ErrUnanswered) {
		err = &es.OutcomeUnknownError{Err: err}
	}
	return o, err
}

// appendAlone writes an append in a transaction of its own.
func (s *Store) appendAlone(ctx context.Context, r request) (outcome, error) {
	outcomes, err := s.commit(ctx, func() (context.Context, []request) { return ctx, []request{r} })
	if err != nil {
		return outcome{}, err
	}
	return outcomes[0], nil
}

// flush writes one batch.
func (s *Store) flush(ctx context.Context, take groupcommit.Take[request]) ([]outcome, error) {
	size := 0
	outcomes, err := s.commit(ctx, func() (context.Context, []request) {
		ctx, batch := take()
		size = len(batch)
		return ctx, batch
	})
	if size > 1 && err != nil && !errors.Is(err, es.ErrOutcomeUnknown) {
		err = fmt.Errorf("%w: %w", groupcommit.ErrAlone, err)
	}
	return outcomes, err
}

// commit writes what it takes in one transaction. The connection comes first, so
// that what fails before the statement is sent is known to have written nothing.
func (s *Store) commit(ctx context.Context, take groupcommit.Take[request]) ([]outcome, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("no connection, nothing was written: %w", err)
	}
	defer conn.Release()
	if err := notSent(ctx, conn.Conn()); err != nil {
		return nil, err
	}
	ctx, batch := take()
	if len(batch) == 0 {
		return nil, nil
	}
	outcomes, err := s.appendBatch(ctx, conn, batch)
	if err != nil {
		return nil, commitError(err)
	}
	for _, o := range outcomes {
		if o.written() {
			s.Wake()
			break
		}
	}
	return outcomes, nil
}
