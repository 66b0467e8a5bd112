package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/internal/traced"
	"github.com/peatlog/peat/internal/listeners"
	"github.com/peatlog/peat/internal/window"
)

// Options configures [Migrate] and [Open]. The zero value works.
type Options struct {
	// Schema is the schema that holds the log; "" means "peat". Any name that
	// PostgreSQL takes is fine: it is always quoted.
	Schema string
	// MaxEventBytes limits payload and metadata of one event together; 0 means
	// es.DefaultMaxEventBytes.
	MaxEventBytes int
	// LockTimeout is how long Migrate waits for locks; 0 means 10 s.
	LockTimeout time.Duration
	// SessionURL is how sessions connect (see [Store.OpenSession]): a connection
	// string, for a pool that goes through a connection pooler in transaction mode.
	// "" connects as the pool does.
	SessionURL string
	// Silent keeps from telling other processes of appends and changes. They find
	// out at their next poll.
	Silent bool
	// Tracers are told what the store does.
	Tracers es.Tracers
}

func (o Options) withDefaults() (Options, error) {
	var faults []error
	if o.MaxEventBytes < 0 {
		faults = append(faults, fmt.Errorf("MaxEventBytes is negative: %d", o.MaxEventBytes))
	}
	if o.LockTimeout < 0 || o.LockTimeout > 0 && o.LockTimeout < time.Millisecond {
		faults = append(faults, fmt.Errorf("LockTimeout %v is below 1 ms", o.LockTimeout))
	}
	if len(o.Schema) > maxIdentifierBytes {
		faults = append(faults, fmt.Errorf("the schema's name %q is longer than %d bytes", o.Schema, maxIdentifierBytes))
	}
	if _, err := pgx.ParseConfig(o.SessionURL); o.SessionURL != "" && err != nil {
		faults = append(faults, fmt.Errorf("SessionURL: %w", err))
	}
	o.Schema = cmp.Or(o.Schema, "peat")
	o.MaxEventBytes = cmp.Or(o.MaxEventBytes, es.DefaultMaxEventBytes)
	o.LockTimeout = cmp.Or(o.LockTimeout, 10*time.Second)
	if len(faults) > 0 {
		return o, fmt.Errorf("postgres options: %w", errors.Join(faults...))
	}
	return o, nil
}

// maxIdentifierBytes is NAMEDATALEN-1: PostgreSQL cuts longer names silently.
const maxIdentifierBytes = 63

// Store is a log in one schema of a PostgreSQL database. It implements es.Store.
type Store struct {
	session
	pool      *pgxpool.Pool
	id        string // tells the notifications of stores apart
	listeners listeners.Listeners
	notifier  notifier
	// known is what the last feed has seen of the log, nil before the first.
	known atomic.Pointer[window.Moment]
}

var _ es.Store = (*Store)(nil)

// Open returns the store in the schema that opts names. The pool stays the
// caller's: closing it ends the store. Errors to branch on: [ErrNotMigrated],
// [ErrSchemaNewer], [ErrMigrationEdited], es.ErrForeignEpoch.
func Open(ctx context.Context, pool *pgxpool.Pool, opts Options) (*Store, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	q := newQueries(opts.Schema)
	if err := checkSchema(ctx, pool, q); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{pool: pool, id: uuid.NewString(), session: session{db: pool, sql: q, opts: opts}}
	foreign, err := s.foreign(ctx, pool)
	if err := cmp.Or(err, foreign); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

// Append implements [es.Appender].
func (s *Store) Append(ctx context.Context, stream es.StreamID, expected es.Expected, events ...es.EventData) (result es.AppendResult, err error) {
	ctx, done := traced.Append(ctx, s.opts.Tracers.Append, stream, len(events))
	defer func() { done(result, err) }()
	p, err := es.Prepare(ctx, stream, expected, events, s.opts.MaxEventBytes)
	if err != nil {
		return es.AppendResult{}, err
	}
	if len(p.Events) == 0 {
		return s.checkExpected(ctx, p)
	}
	// The connection is taken first, so that what fails before the statement is
	// sent is known to have written nothing.
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return es.AppendResult{}, fmt.Errorf("append to %s: no connection, nothing was written: %w", stream, err)
	}
	defer conn.Release()
	if err := notSent(ctx, conn.Conn()); err != nil {
		return es.AppendResult{}, fmt.Errorf("append to %s: %w", stream, err)
	}
	outcomes, err := s.appendBatch(ctx, conn, []es.Prepared{p})
	if err != nil {
		return es.AppendResult{}, fmt.Errorf("append to %s: %w", stream, commitError(err))
	}
	if outcomes[0].written() {
		s.Wake()
	}
	return outcomes[0].result(p)
}
