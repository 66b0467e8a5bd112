package proptest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/listeners"
	"github.com/peatlog/peat/internal/page"
	"github.com/peatlog/peat/internal/window"
)

// LogOptions configures a [Log]. The zero value works.
type LogOptions struct {
	// MaxEventBytes is as for a real store.
	MaxEventBytes int
	// Now is the clock, by which events are recorded and sessions expire; nil means
	// time.Now. It orders nothing.
	Now func() time.Time
}

// Log is a simulated event log: in memory, but with the transactions, snapshots,
// sequence, row locks and crashes of PostgreSQL, and with the feed of es/postgres. So a
// test can bring about at will what a server does once in a million times.
//
// It is a store: use it in the place of a *postgres.Store, which it agrees with in the
// whole of the conformance suite. What a test makes happen beside that, it does with
// [Log.Begin] and [Log.Crash]. The log always is at home: it never moves to another
// cluster, so there is one epoch.
//
// Safe for concurrent use. Nothing in it runs by itself; only a session's Wait waits for
// time to pass, and its TTL.
type Log struct {
	opts      LogOptions
	listeners listeners.Listeners
	leases    leases

	mu sync.Mutex
	db *tables
	// changed is closed when a lock was given back.
	changed chan struct{}
	// known is what the last feed has seen of the log.
	known *window.Moment
	// deliveries are under way; a claim ends them.
	deliveries map[*transaction]string
}

// Log is what the runner and the repositories need.
var _ interface {
	es.Store
	es.Feed
	es.Pinner
	es.Checkpointer
	es.Monitor
	es.ParkingLot
	es.GenerationStore
	es.Coordinator
	es.Transactor[*Tx]
} = (*Log)(nil)

// NewLog returns an empty log.
func NewLog(opts LogOptions) *Log {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.MaxEventBytes = cmp.Or(opts.MaxEventBytes, es.DefaultMaxEventBytes)
	l := &Log{opts: opts, db: newTables(opts.Now), changed: make(chan struct{}), deliveries: map[*transaction]string{}}
	l.leases.now = opts.Now
	l.db.released = func() {
		close(l.changed)
		l.changed = make(chan struct{})
	}
	return l
}

// Crash stops the server on the spot and starts it again. Open transactions are gone,
// and of those whose commit was not made durable (see [Tx.CommitAsync]) the last ones
// are, too: as many as are among the last lost records of the write-ahead log. 0 loses
// nothing that was committed, a large number all that can be lost. Transaction ids and
// positions that nothing durable speaks of are given out again.
func (l *Log) Crash(lost int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.db.crash(lost)
}

// begin begins a transaction whose waiting ends with ctx. The lock is held.
func (l *Log) begin(ctx context.Context) *transaction {
	return l.db.begin(func(ready func() bool) error {
		for !ready() {
			changed := l.changed
			l.mu.Unlock()
			select {
			case <-changed:
			case <-ctx.Done():
			}
			l.mu.Lock()
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return nil
	})
}

// within runs f in a transaction and commits it. f is called with the lock held.
func (l *Log) within(ctx context.Context, f func(t *transaction) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.begin(ctx)
	defer t.rollback()
	if err := f(t); err != nil {
		return err
	}
	return t.commit()
}

// Append implements [es.Appender].
func (l *Log) Append(ctx context.Context, stream es.StreamID, expected es.Expected, events ...es.EventData) (es.AppendResult, error) {
	var o outcome
	var p es.Prepared
	err := l.within(ctx, func(t *transaction) (err error) {
		if p, err = es.Prepare(ctx, stream, expected, events, l.opts.MaxEventBytes); err != nil {
			return err
		}
		o, err = l.db.appendOne(t, p)
		return err
	})
	if err != nil {
		return es.AppendResult{}, fmt.Errorf("append to %s: %w", stream, err)
	}
	if o.written && len(events) > 0 {
		l.listeners.Call()
	}
	return o.result(p)
}

// appendOne appends to one stream; without events it only checks.
func (l *tables) appendOne(t *transaction, p es.Prepared) (outcome, error) {
	if err := t.check(); err != nil {
		return outcome{}, err
	}
	if len(p.Events) == 0 {
		row, _ := l.streams.get(t, p.Stream.String())
		return outcome{written: p.Expected.AdmitsLast(row.version, row.last), version: row.version}, nil
	}
	outcomes, err := l.append(t, []es.Prepared{p})
	if err != nil {
		return outcome{}, err
	}
	return outcomes[0], nil
}

// ReadStream implements [es.StreamReader].
func (l *Log) ReadStream(ctx context.Context, stream es.StreamID, opts es.ReadOptions) iter.Seq2[es.Recorded, error] {
	return l.readStream(ctx, nil, stream, opts)
}

func (l *Log) readStream(ctx context.Context, t *transaction, stream es.StreamID, opts es.ReadOptions) iter.Seq2[es.Recorded, error] {
	return page.Stream(ctx, stream, opts, func(ctx context.Context, from int64, rows int) (p page.Page, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if err := l.readable(ctx, t); err != nil {
			return p, fmt.Errorf("read %s: %w", stream, err)
		}
		row, _ := l.db.streams.get(t, stream.String())
		p.Head = row.version
		p.Events = take(l.db.ofStream(t, stream), func(e *eventRow) int64 { return e.Version }, from, rows, opts.Backward)
		return p, nil
	})
}

// readable returns why nothing can be read.
func (l *Log) readable(ctx context.Context, t *transaction) error {
	if t != nil {
		return errors.Join(ctx.Err(), t.check())
	}
	return ctx.Err()
}

// take returns up to so many of the events, which are in order, beginning with from.
func take(events []*eventRow, place func(*eventRow) int64, from int64, rows int, backward bool) []es.Recorded {
	var taken []es.Recorded
	for i := range events {
		e := events[i]
		if backward {
			e = events[len(events)-1-i]
		}
		if backward && place(e) <= from || !backward && place(e) >= from {
			taken = append(taken, e.Recorded)
		}
		if len(taken) == rows {
			break
		}
	}
	return taken
}

// ReadAll implements [es.LogReader].
func (l *Log) ReadAll(ctx context.Context, opts es.ReadAllOptions) iter.Seq2[es.Recorded, error] {
	return l.readAll(ctx, nil, opts)
}

func (l *Log) readAll(ctx context.Context, t *transaction, opts es.ReadAllOptions) iter.Seq2[es.Recorded, error] {
	return page.Log(ctx, opts, func(ctx context.Context, from int64, rows int) (p page.Page, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if err := l.readable(ctx, t); err != nil {
			return p, fmt.Errorf("read the log: %w", err)
		}
		events := slices.DeleteFunc(slices.Clone(l.db.events), func(e *eventRow) bool {
			return !e.by.visibleTo(t) || opts.Category != "" && opts.Category != e.Stream.Category
		})
		p.Events = take(events, func(e *eventRow) int64 { return e.Row.Position }, from, rows, opts.Backward)
		p.More = len(p.Events) == rows
		return p, nil
	})
}

// ReadSnapshot implements [es.Snapshotter].
func (l *Log) ReadSnapshot(ctx context.Context, stream es.StreamID) (es.Snapshot, bool, error) {
	return l.readSnapshot(ctx, nil, stream)
}

func (l *Log) readSnapshot(ctx context.Context, t *transaction, stream es.StreamID) (es.Snapshot, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.readable(ctx, t); err != nil {
		return es.Snapshot{}, false, fmt.Errorf("read the snapshot of %s: %w", stream, err)
	}
	s, ok := l.db.snapshots.get(t, stream.String())
	s.Data = slices.Clone(s.Data)
	return s, ok, nil
}

// WriteSnapshot implements [es.Snapshotter].
func (l *Log) WriteSnapshot(ctx context.Context, s es.Snapshot) error {
	return l.within(ctx, func(t *transaction) error { return l.db.writeSnapshot(t, s) })
}

func (l *tables) writeSnapshot(t *transaction, s es.Snapshot) error {
	err := cmp.Or(s.Stream.Validate(), t.check())
	if err == nil {
		if err = t.lock("snapshots", s.Stream.String()); err != nil {
			t.fail()
		}
	}
	if err != nil {
		return fmt.Errorf("write the snapshot of %s: %w", s.Stream, err)
	}
	if old, ok := l.snapshots.get(t, s.Stream.String()); !ok || old.Schema != s.Schema || old.Form != s.Form || old.Version < s.Version {
		s.Data = slices.Clone(s.Data)
		l.snapshots.put(t, s.Stream.String(), s)
	}
	return nil
}

// DeleteSnapshots implements [es.Snapshotter].
func (l *Log) DeleteSnapshots(ctx context.Context, category string) (n int, err error) {
	err = l.within(ctx, func(t *transaction) (err error) {
		n, err = l.db.deleteSnapshots(t, category)
		return err
	})
	return n, err
}

func (l *tables) deleteSnapshots(t *transaction, category string) (n int, err error) {
	if err := cmp.Or(es.ValidateCategory(category), t.check()); err != nil {
		return 0, err
	}
	for _, key := range l.snapshots.keys(t) {
		if s, _ := l.snapshots.get(t, key); s.Stream.Category != category {
			continue
		}
		if err := t.lock("snapshots", key); err != nil {
			t.fail()
			return 0, err
		}
		l.snapshots.del(t, key)
		n++
	}
	return n, nil
}

// FindEvents implements [es.EventFinder].
func (l *Log) FindEvents(ctx context.Context, ids ...uuid.UUID) ([]es.Recorded, error) {
	return l.findEvents(ctx, nil, ids)
}

func (l *Log) findEvents(ctx context.Context, t *transaction, ids []uuid.UUID) ([]es.Recorded, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.readable(ctx, t); err != nil {
		return nil, fmt.Errorf("find events: %w", err)
	}
	var found []es.Recorded
	for _, e := range l.db.events {
		if slices.Contains(ids, e.ID) && e.by.visibleTo(t) {
			found = append(found, e.Recorded)
		}
	}
	return found, nil
}

// Feed implements [es.Feed].
func (l *Log) Feed(ctx context.Context, behind es.Checkpoint, opts es.FeedOptions) (es.Batch, error) {
	opts, err := opts.WithDefaults()
	if err != nil {
		return es.Batch{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	batch, now, err := window.Next(ctx, feeder{tables: l.db, opts: opts, pause: func(string) {}}, behind, opts, l.known)
	if err = cmp.Or(ctx.Err(), err); err != nil {
		return es.Batch{}, fmt.Errorf("feed: %w", err)
	}
	l.known = now
	return batch, nil
}

// Pins implements [es.Pinner].
func (l *Log) Pins(context.Context) ([]es.Pin, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	pins := make([]es.Pin, 0, len(l.db.running))
	for _, t := range l.db.running {
		pins = append(pins, es.Pin{PID: int(t.levels[0].xid), User: "proptest", Database: "proptest"})
	}
	return pins, nil
}
