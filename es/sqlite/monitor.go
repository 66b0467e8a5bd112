package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/peatlog/peat/es"
)

var _ es.Monitor = (*Store)(nil)

// countedEvents is how far a lag is counted.
const countedEvents = 100_000

// Readers implements [es.Monitor]. Held speaks of the sessions of this Store only.
func (s *Store) Readers(ctx context.Context, subscriptions ...string) ([]es.Reader, error) {
	readers := make([]es.Reader, len(subscriptions))
	err := queryRows(ctx, s.db, s.sql.readers, []any{array(subscriptions)}, func(scan scan) error {
		var at int
		var cp sql.NullString
		var r es.Reader
		var claimed, updated int64
		if err := scan(&at, &cp, &r.Revision, &r.Holder, &claimed, &updated, &r.Error, &r.Parked); err != nil {
			return err
		}
		r.Checkpoint, r.ClaimedAt, r.UpdatedAt = es.Checkpoint(cp.String), moment(claimed), moment(updated)
		r.Held = s.leases.held(subscriptions[at])
		readers[at] = r
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("readers: %w", err)
	}
	return readers, nil
}

// RecordFailure implements [es.Monitor]. It gives es.ErrStaleCheckpoint to a reader
// that was overtaken.
func (s *Store) RecordFailure(ctx context.Context, subscription string, revision int64, reason string) error {
	return s.change(ctx, func(ctx context.Context, in *session) error {
		n, err := in.exec(ctx, in.sql.recordFailure, subscription, revision, reason)
		if err != nil {
			return fmt.Errorf("record the failure of subscription %q: %w", subscription, err)
		}
		if n == 0 {
			return &es.StaleCheckpointError{Subscription: subscription, Revision: revision}
		}
		return nil
	})
}

// Lag implements [es.Monitor]. Errors to branch on are those of [Store.Feed].
func (s *Store) Lag(ctx context.Context, behind es.Checkpoint, opts es.FeedOptions) (es.Lag, error) {
	opts, err := opts.WithDefaults()
	if err != nil {
		return es.Lag{}, err
	}
	lag, err := s.lag(ctx, behind, opts.Filter)
	if err != nil {
		return es.Lag{}, fmt.Errorf("lag: %w", err)
	}
	return lag, nil
}

func (s *Store) lag(ctx context.Context, behind es.Checkpoint, filter es.Filter) (es.Lag, error) {
	c, err := parseCursor(behind)
	if err != nil {
		return es.Lag{}, err
	}
	from := c.Position
	last, err := s.end(ctx, from)
	if err != nil || from == last {
		return es.Lag{Done: 1}, err
	}
	l := es.Lag{Done: float64(from) / float64(last)}
	feed, args := s.feedSQL(filter, from, last, countedEvents+1)
	text := strings.Replace(s.sql.lag, "{feed}", feed, 1)
	var oldest int64
	if err := queryRow(ctx, s.readers.db, text, args, &l.Events, &oldest); err != nil {
		return es.Lag{}, statementError(err)
	}
	if l.Events > countedEvents {
		l.Events, l.More = countedEvents, true
	}
	if l.Events > 0 {
		l.Age = max(0, time.Since(time.UnixMicro(oldest)))
	}
	return l, nil
}

// Delivered implements [es.Monitor].
func (s *Store) Delivered(ctx context.Context, position int64, segments []string) (bool, error) {
	if len(segments) == 0 {
		return false, errors.New("delivered: no subscription is named")
	}
	if len(segments) > 1 {
		var stream int64
		err := queryRow(ctx, s.db, s.sql.streamAt, []any{position}, &stream)
		switch {
		case err == nil:
			at := stream % int64(len(segments)) // as the feed divides them
			segments = segments[at : at+1]
		case !errors.Is(err, sql.ErrNoRows): // a hole is behind all of them, or it is not
			return false, fmt.Errorf("delivered: %w", statementError(err))
		}
	}
	for _, name := range segments {
		reached, err := s.position(ctx, name)
		if err != nil || reached < position {
			return false, err
		}
	}
	return true, nil
}

// array is a list as a JSON array, for json_each.
func array[T any](list []T) string {
	if list == nil {
		return "[]"
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // strings or numbers
	}
	return string(text)
}

// moment is a stored time, 0 for none.
func moment(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros)
}
