package postgres_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
)

// gate is a log with one flusher that stands still until it is let go: an append of its
// own waits for a stream that a transaction has locked.
type gate struct {
	*backends.Postgres
	store   *postgres.Store
	pid     int // of the transaction
	release chan struct{}
	once    sync.Once // closes it
	ended   chan struct{}
}

var gateStream = es.StreamID{Category: "test", Key: "gate"}

// newGate returns with the flusher standing still.
func newGate(t *testing.T, opts postgres.Options) *gate {
	t.Helper()
	opts.Flushers = 1
	log := backends.NewPostgresWith(t, opts, func(c *pgxpool.Config) { c.MaxConns = 20 })
	return newGateAt(t, log, log.Store)
}

// newGateAt does the same with another store of the log, of one flusher.
func newGateAt(t *testing.T, log *backends.Postgres, store *postgres.Store) *gate {
	t.Helper()
	g := &gate{Postgres: log, store: store, release: make(chan struct{}), ended: make(chan struct{})}
	locked := make(chan struct{})
	go func() {
		defer close(g.ended)
		err := g.Store.InTx(context.WithoutCancel(t.Context()), func(tx *postgres.Tx) error {
			if _, err := tx.LockStream(t.Context(), gateStream); err != nil {
				return err
			}
			if err := tx.SQL().QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&g.pid); err != nil {
				return err
			}
			close(locked)
			<-g.release
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}()
	<-locked
	held := make(chan struct{})
	go func() {
		defer close(held)
		if _, err := g.store.Append(context.WithoutCancel(t.Context()), gateStream, es.Any, noted()); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { g.open(); <-held })
	g.awaitWaiter(t, g.pid)
	return g
}

// awaitWaiter waits until somebody waits for a lock of the backend pid.
func (g *gate) awaitWaiter(t *testing.T, pid int) {
	t.Helper()
	g.await(t, "somebody waits for the lock", func() bool {
		waits := false
		err := g.Pool.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)))", pid).Scan(&waits)
		return err == nil && waits
	})
}

func (g *gate) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// open lets the flusher go on.
func (g *gate) open() { g.once.Do(func() { close(g.release) }); <-g.ended }

// pending is an append that waits.
type pending struct {
	result es.AppendResult
	err    error
	done   chan struct{}
}

// start appends, and returns when that waits in the queue.
func (g *gate) start(t *testing.T, ctx context.Context, key string, expected es.Expected, events ...es.EventData) *pending { //nolint:revive // t comes first here
	t.Helper()
	before := postgres.Queued(g.store)
	p := &pending{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.result, p.err = g.store.Append(ctx, es.StreamID{Category: "test", Key: key}, expected, events...)
	}()
	g.await(t, "an append waits", func() bool { return postgres.Queued(g.store) > before })
	return p
}

// transactions returns how many transactions wrote to streams other than the gate's.
func (g *gate) transactions(t *testing.T) (n int) {
	t.Helper()
	const sql = " WHERE stream_id <> $1"
	err := g.Pool.QueryRow(t.Context(), "SELECT count(DISTINCT transaction_id) FROM "+g.Table("events")+sql, gateStream.String()).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAppendsThatWaitShareATransaction(t *testing.T) {
	t.Parallel()
	g := newGate(t, postgres.Options{})
	known := noted()
	known.ID = uuid.Must(uuid.NewV7())
	err := g.Store.InTx(t.Context(), func(tx *postgres.Tx) error { // past the queue
		_, err := tx.Append(t.Context(), es.StreamID{Category: "test", Key: "known"}, es.NoStream, known)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	written := make([]*pending, 20)
	for i := range written {
		written[i] = g.start(t, ctx, strconv.Itoa(i), es.NoStream, noted(), noted())
	}
	stale := g.start(t, ctx, "known", es.NoStream, noted())
	future := g.start(t, ctx, "none", es.Exact(7), noted())
	exists := g.start(t, ctx, "neither", es.StreamExists, noted())
	g.open()
	for i, p := range written {
		if <-p.done; p.err != nil || p.result.Version != 2 || p.result.Position == 0 {
			t.Errorf("append %d: %+v, %v", i, p.result, p.err)
		}
	}
	for _, c := range []struct {
		p      *pending
		actual int64
	}{{stale, 1}, {future, 0}, {exists, 0}} {
		<-c.p.done
		if conflict, ok := errors.AsType[*es.ConflictError](c.p.err); !ok || conflict.Actual != c.actual {
			t.Errorf("got %v, want a conflict at version %d", c.p.err, c.actual)
		}
	}
	if n := g.transactions(t); n != 2 { // one of them is that of InTx
		t.Errorf("%d transactions, want 2", n)
	}
	again := must(g.Store.Append(ctx, es.StreamID{Category: "test", Key: "known"}, es.NoStream, known))
	if !again.Duplicate {
		t.Errorf("%+v, want a duplicate", again)
	}
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

func TestAppendsToOneStreamLandInTheOrderOfTheCalls(t *testing.T) {
	t.Parallel()
	g := newGate(t, postgres.Options{})
	calls := make([]*pending, 10)
	for i := range calls {
		calls[i] = g.start(t, t.Context(), "one", es.Exact(int64(i)), noted())
	}
	g.open()
	for i, p := range calls {
		if <-p.done; p.err != nil || p.result.Version != int64(i+1) {
			t.Errorf("append %d: %+v, %v", i+1, p.result, p.err)
		}
	}
	if n := g.transactions(t); n != len(calls) {
		t.Errorf("%d transactions for %d appends to one stream", n, len(calls))
	}
}

// huge is JSON that Go takes and PostgreSQL does not.
func huge() es.EventData { return es.EventData{Type: "test.huge", Data: []byte("1e999999")} }

func TestBadEventFailsItsOwnAppendOnly(t *testing.T) {
	t.Parallel()
	g := newGate(t, postgres.Options{})
	var good []*pending
	for i := range 5 {
		good = append(good, g.start(t, t.Context(), "before"+strconv.Itoa(i), es.NoStream, noted()))
	}
	bad := g.start(t, t.Context(), "bad", es.NoStream, noted(), huge())
	behind := g.start(t, t.Context(), "bad", es.NoStream, noted())
	for i := range 5 {
		good = append(good, g.start(t, t.Context(), "behind"+strconv.Itoa(i), es.NoStream, noted()))
	}
	g.open()
	if <-bad.done; !errors.Is(bad.err, es.ErrInvalidEvent) {
		t.Errorf("got error %v, want ErrInvalidEvent", bad.err)
	}
	for i, p := range append(good, behind) {
		if <-p.done; p.err != nil || p.result.Version != 1 {
			t.Errorf("append %d: %+v, %v", i, p.result, p.err)
		}
	}
}

func TestAppendThatIsCancelledWhileItWaitsIsWithdrawn(t *testing.T) {
	t.Parallel()
	g := newGate(t, postgres.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancelled := g.start(t, ctx, "one", es.NoStream, noted())
	behind := g.start(t, t.Context(), "one", es.NoStream, noted())
	cancel()
	<-cancelled.done // while the flusher stands still
	if !errors.Is(cancelled.err, context.Canceled) || errors.Is(cancelled.err, es.ErrOutcomeUnknown) {
		t.Errorf("got error %v, want context.Canceled with a known outcome", cancelled.err)
	}
	g.open()
	if <-behind.done; behind.err != nil || behind.result.Version != 1 {
		t.Errorf("behind it: %+v, %v", behind.result, behind.err)
	}
}

// Whose context ends while the batch is being written goes at once, and does not take
// the others along.
func TestAppendThatIsCancelledInFlightHasAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	g := newGate(t, postgres.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	e := noted()
	e.ID = uuid.Must(uuid.NewV7())
	held := es.StreamID{Category: "test", Key: "a-held"}
	var pid int
	locked, release := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		err := g.Store.InTx(t.Context(), func(tx *postgres.Tx) error {
			if _, err := tx.LockStream(t.Context(), held); err != nil {
				return err
			}
			err := tx.SQL().QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid)
			close(locked)
			<-release
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-locked
	cancelled := g.start(t, ctx, "a-held", es.NoStream, e)
	neighbour := g.start(t, t.Context(), "b", es.NoStream, noted())
	g.open()
	g.awaitWaiter(t, pid)
	cancel()
	<-cancelled.done
	if !errors.Is(cancelled.err, es.ErrOutcomeUnknown) || !errors.Is(cancelled.err, context.Canceled) {
		t.Errorf("got error %v, want ErrOutcomeUnknown and context.Canceled", cancelled.err)
	}
	// The batch gives up on the lock, and the neighbour goes on without it.
	if <-neighbour.done; neighbour.err != nil {
		t.Errorf("the neighbour: %v", neighbour.err)
	}
	close(release)
	all.Wait()
	if result, err := g.Store.Append(t.Context(), held, es.NoStream, e); err != nil || result.Version != 1 {
		t.Errorf("repeated: %+v, %v", result, err)
	}
}

// A stream that somebody has locked for long holds up those who write to it, and
// nobody else.
func TestLockedStreamHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t, func(c *pgxpool.Config) { c.MaxConns = 20 })
	unlock := make(chan struct{})
	locked := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		err := log.Store.InTx(t.Context(), func(tx *postgres.Tx) error {
			for i := range 4 {
				if _, err := tx.LockStream(t.Context(), es.StreamID{Category: "held", Key: strconv.Itoa(i)}); err != nil {
					return err
				}
			}
			close(locked)
			<-unlock
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-locked
	var landed atomic.Int32
	var holding sync.WaitGroup
	for i := range 8 {
		holding.Go(func() {
			if _, err := log.Store.Append(t.Context(), es.StreamID{Category: "held", Key: strconv.Itoa(i % 4)}, es.Any, noted()); err != nil {
				t.Error(err)
			}
			landed.Add(1)
		})
	}
	var free sync.WaitGroup
	for i := range 8 {
		free.Go(func() {
			for range 10 {
				if _, err := log.Store.Append(t.Context(), es.StreamID{Category: "free", Key: strconv.Itoa(i)}, es.Any, noted()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	free.Wait() // else this never ends
	if n := landed.Load(); n != 0 {
		t.Errorf("%d appends landed in locked streams", n)
	}
	close(unlock)
	holding.Wait()
	all.Wait()
}

// The answer to a batch is lost: whose appends were in it cannot know, what waits
// behind is not concerned.
func TestLostConnectionConcernsThoseInFlight(t *testing.T) {
	t.Parallel()
	cut, store, log := withCutter(t)
	g := newGateAt(t, log, store)
	e := noted()
	e.ID = uuid.Must(uuid.NewV7())
	inFlight := []*pending{
		g.start(t, t.Context(), streamA.Key, es.NoStream, e),
		g.start(t, t.Context(), "x", es.NoStream, noted()),
		g.start(t, t.Context(), "y", es.Exact(9), noted()), // also who would have had a conflict
	}
	behind := []*pending{g.start(t, t.Context(), streamA.Key, es.Exact(1), noted()), g.start(t, t.Context(), "x", es.Exact(1), noted())}
	cut.armed.Store(true)
	g.open()
	for i, p := range inFlight {
		if <-p.done; !errors.Is(p.err, es.ErrOutcomeUnknown) || !errors.Is(p.err, io.ErrUnexpectedEOF) {
			t.Errorf("in flight %d: got error %v, want ErrOutcomeUnknown around the cause", i, p.err)
		}
	}
	for i, p := range behind {
		if <-p.done; p.err != nil || p.result.Version != 2 {
			t.Errorf("behind %d: %+v, %v", i, p.result, p.err)
		}
	}
	if result, err := store.Append(t.Context(), streamA, es.NoStream, e); err != nil || !result.Duplicate {
		t.Errorf("repeated: %+v, %v; want a duplicate", result, err)
	}
}

func TestUngroupedAppendsHaveTransactionsOfTheirOwn(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgresWith(t, postgres.Options{Ungrouped: true}, func(c *pgxpool.Config) { c.MaxConns = 10 })
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			if _, err := log.Store.Append(t.Context(), es.StreamID{Category: "test", Key: strconv.Itoa(i)}, es.NoStream, noted()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	n := 0
	if err := log.Pool.QueryRow(t.Context(), "SELECT count(DISTINCT transaction_id) FROM "+log.Table("events")).Scan(&n); err != nil || n != 40 {
		t.Errorf("%d transactions for 40 appends, %v", n, err)
	}
}

func TestCallersWaitForRoomInTheQueue(t *testing.T) {
	t.Parallel()
	g := newGate(t, postgres.Options{MaxQueued: 2})
	var calls []*pending
	for i := range 5 {
		calls = append(calls, g.start(t, t.Context(), strconv.Itoa(i), es.NoStream, noted()))
	}
	ctx, cancel := context.WithCancel(t.Context())
	impatient := g.start(t, ctx, "impatient", es.NoStream, noted())
	cancel()
	if <-impatient.done; !errors.Is(impatient.err, context.Canceled) || errors.Is(impatient.err, es.ErrOutcomeUnknown) {
		t.Errorf("got error %v, want context.Canceled", impatient.err)
	}
	g.open()
	for _, p := range calls {
		if <-p.done; p.err != nil {
			t.Error(p.err)
		}
	}
	if n := g.transactions(t); n < 3 { // of two at the most
		t.Errorf("%d transactions for 5 appends", n)
	}
}

// A batch has a bound in bytes, and so has an append.
func TestBatchesAndAppendsAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	g := newGate(t, postgres.Options{})
	big := es.EventData{Type: "test.big", Binary: true, Data: make([]byte, 250_000)}
	var calls []*pending
	for i := range 4 {
		calls = append(calls, g.start(t, t.Context(), strconv.Itoa(i), es.NoStream, big, big, big, big, big, big)) // 1.5 MB
	}
	g.open()
	for _, p := range calls {
		if <-p.done; p.err != nil {
			t.Error(p.err)
		}
	}
	if n := g.transactions(t); n != 2 {
		t.Errorf("%d transactions for 4 times 1.5 MB, want 2", n)
	}
	many := make([]es.EventData, 2200) // in Go they share their bytes
	for i := range many {
		many[i] = big
	}
	appendMany := func(s es.Appender) {
		t.Helper()
		if _, err := s.Append(t.Context(), streamA, es.NoStream, many...); !errors.Is(err, es.ErrTooLarge) {
			t.Errorf("got error %v, want ErrTooLarge", err)
		}
	}
	appendMany(g.Store)
	err := g.Store.InTx(t.Context(), func(tx *postgres.Tx) error {
		appendMany(tx)
		_, err := tx.Append(t.Context(), streamA, es.NoStream, noted())
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Two processes whose batches hold the same streams in any order.
func TestBatchesOfTwoProcessesLand(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	stores := []*postgres.Store{log.Store, must(postgres.Open(t.Context(), log.Pool, log.Options))}
	const streams, workers, each = 12, 24, 25
	var landed atomic.Int64
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for range each {
				id := es.StreamID{Category: "test", Key: strconv.Itoa(rand.IntN(streams))}
				expected := []es.Expected{es.Any, es.NoStream, es.Exact(3)}[rand.IntN(3)]
				_, err := stores[w%2].Append(t.Context(), id, expected, noted())
				if err == nil {
					landed.Add(1)
				} else if !errors.Is(err, es.ErrConflict) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	n := int64(0)
	if err := log.Pool.QueryRow(t.Context(), "SELECT count(*) FROM "+log.Table("events")).Scan(&n); err != nil || n != landed.Load() {
		t.Errorf("%d events, %d appends have landed, %v", n, landed.Load(), err)
	}
}
