package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es/postgres"
)

// scenario measures one thing and answers one line of the table or more.
type scenario struct {
	name, about string
	run         func(ctx context.Context, b *bed) ([]result, error)
}

var scenarios = []scenario{
	{"append-1", "one goroutine appends an event at a time, against a bare one-row insert", appends{1, 0.7}.run},
	{"append-16", "16 goroutines, each on its own stream, against 16 connections that insert", appends{16, 1}.run},
	{"append-64", "64 goroutines, against 64 connections", appends{64, 2}.run},
	{"append-256", "256 goroutines, against 64 connections", appends{256, 3}.run},
	{"append-of-100", "4 goroutines append 100 events at a time, against COPY of 100 rows into the same indexed table", appendMany},
	{"ids-1", "one goroutine appends an event at a time, against the same without the index on event ids", idIndex{"ids-1", 1, 1, false}.run},
	{"ids-16", "16 goroutines do", idIndex{"ids-16", 16, 1, false}.run},
	{"ids-of-100", "4 goroutines append 100 events at a time, against the same without the index", idIndex{"ids-of-100", 4, 100, false}.run},
	{"ids-random", "the same with random ids, as those of commands are", idIndex{"ids-random", 4, 100, true}.run},
	{"transaction-3", "8 goroutines append to 3 streams in a transaction, against 3 inserts in one", transfers},
	{"execute-16", "16 goroutines execute commands on streams of their own, against transactions by hand", executes{"execute-16", 16, 16, 16, 0, 15_000}.run},
	{"execute-64", "64 goroutines, each on its own stream", executes{"execute-64", 64, 64, 64, 0, 0}.run},
	{"execute-16-load", "16 goroutines without a cache, on streams of up to 20 events", executes{"execute-16-load", 16, 16, 0, 20, 0}.run},
	{"execute-hot-8", "64 goroutines on 8 streams", executes{"execute-hot-8", 64, 8, 0, 0, 0}.run},
	{"execute-hot-1", "64 goroutines on one stream", executes{"execute-hot-1", 64, 1, 0, 0, 20_000}.run},
	{"replay", "typed replay of the log in batches of 2,000, against a streamed SELECT", replay},
	{"load-10", "load of an aggregate of 10 events, against a SELECT of them", loads{events: 10, goroutines: 1}.run},
	{"load-100", "load of 100 events, against a SELECT of them", loads{events: 100, goroutines: 1, ratio: new(1.3)}.run},
	{"load-100-by-16", "loads of 100 events by 16 goroutines", loads{events: 100, goroutines: 16, least: new(6000.0)}.run},
	{"load-1000", "load of 1,000 events, against a SELECT of them", loads{events: 1000, goroutines: 1}.run},
	{"load-snapshot", "load of 10,000 events by a snapshot and the last 50, against SELECTs of both", loadSnapshot},
	{"poll-idle", "a poll that finds nothing, against SELECT 1", pollIdle},
	{"projection-each", "transactional projection, one upsert per event", eachUpsert.run},
	{"projection-pipelined", "transactional projection, one queued upsert per event", projectPipelined},
	{"projection-batch-10", "transactional projection, one upsert per batch of 1,000 events of 10 streams", projectBatch(10, 250_000)},
	{"projection-batch-1000", "transactional projection, one upsert per batch of 1,000 events of 1,000 streams", projectBatch(1000, 150_000)},
	{"segments-1", "projection-each by one segment", projectSegments(1)},
	{"segments-2", "the same by two, each with half of the streams", projectSegments(2)},
	{"segments-4", "the same by four", projectSegments(4)},
	{"writers-16", "16 goroutines append to the same 64 streams while a runner reads", writers},
	{"latency-same", "from an append to its handler in the same process, idle, against a SELECT", latencySame},
	{"latency-other", "from an append to its handler in another process, idle", latencyOther},
	{"latency-foreign", "latency-same while a foreign transaction stays open for 3 s", latencyForeign},
	{"failover-kill", "from SIGKILL of a process to the first event that another one has handled", failover{"failover-kill", killed, syscall.SIGKILL}.run},
	{"failover-freeze", "the same from SIGSTOP, after which the process is there and does nothing", failover{"failover-freeze", killed, syscall.SIGSTOP}.run},
	{"failover-stop", "the same from SIGTERM, at which the process ends in good order", failover{"failover-stop", stopped, syscall.SIGTERM}.run},
	{"idle-runner", "a runner of 16 subscriptions that have nothing to do", idleRunner},
	{"growth-1M", "append and poll at the end of a log of 1 M events, against one of 10 k", growth(1_000_000)},
	{"growth-10M", "the same of 10 M events", growth(10_000_000)},
	{"memory", "what a load of 100 events and a replay allocate, against the same by SELECT", memory},
	{"sqlite-append-1", "one goroutine appends an event at a time to SQLite, against a bare insert", onFile(sqliteAppend(1))},
	{"sqlite-append-16", "16 goroutines, against as many that insert", onFile(sqliteAppend(16))},
	{"sqlite-append-64", "64 goroutines", onFile(sqliteAppend(64))},
	{"sqlite-load-100", "load of 100 events from SQLite, against a SELECT of them", onFile(sqliteLoad)},
	{"sqlite-replay", "typed replay of the log from SQLite, against a SELECT", onFile(sqliteReplay)},
	{"sqlite-projection-each", "transactional projection in SQLite, one upsert per event", onFile(sqliteProject)},
	{"wakes", "the polls of a subscription that has caught up, for 3,000 appends", wakes},
}

// bed is what a scenario works on: an empty log in a schema of its own.
type bed struct {
	pool   *pgxpool.Pool
	wire   *wire
	store  *postgres.Store
	dsn    string
	schema string // a plain name that needs no quotes
	quick  bool
}

// newBed makes the schema. The caller closes the bed.
func newBed(ctx context.Context, dsn string, quick bool) (*bed, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	b := &bed{wire: new(wire), dsn: dsn, schema: "peat_bench_" + strings.ToLower(rand.Text()[:10]), quick: quick}
	config.ConnConfig.DialFunc = b.wire.dialer(config.ConnConfig.DialFunc)
	if b.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	opts := postgres.Options{Schema: b.schema}
	if err = postgres.Migrate(ctx, b.pool, opts); err == nil {
		b.store, err = postgres.Open(ctx, b.pool, opts)
	}
	if err != nil {
		_ = b.close(context.WithoutCancel(ctx)) // the first error says more
		return nil, err
	}
	return b, nil
}

// mostConnections is how many connections a pool of many goroutines has at most.
const mostConnections = 64

// widen opens the store on a pool with room for so many goroutines at once. The caller
// closes the pool.
func (b *bed) widen(ctx context.Context, goroutines int) (*pgxpool.Pool, *postgres.Store, error) {
	pool, err := b.widePool(ctx, max(int(b.pool.Config().MaxConns), min(goroutines, mostConnections)))
	if err != nil {
		return nil, nil, err
	}
	store, err := postgres.Open(ctx, pool, postgres.Options{Schema: b.schema})
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return pool, store, nil
}

// widePool returns a pool of so many open connections. The caller closes it.
func (b *bed) widePool(ctx context.Context, connections int) (*pgxpool.Pool, error) {
	config := b.pool.Config()
	config.MaxConns, config.MinConns = int32(connections), int32(connections)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	held := make([]*pgxpool.Conn, 0, connections)
	for range connections { // so that none is opened while it counts
		conn, err := pool.Acquire(ctx)
		if err != nil {
			pool.Close()
			return nil, err
		}
		held = append(held, conn)
	}
	for _, conn := range held {
		conn.Release()
	}
	return pool, nil
}

func (b *bed) close(ctx context.Context) error {
	defer b.pool.Close()
	if _, err := b.pool.Exec(ctx, "DROP SCHEMA IF EXISTS "+b.schema+" CASCADE"); err != nil {
		return fmt.Errorf("drop schema %s: %w", b.schema, err)
	}
	return nil
}

// rounds is how often each side of a comparison is measured.
func (b *bed) rounds() int {
	if b.quick {
		return 2
	}
	return 5
}

// takeTurns measures the two sides alternately, and lets each go first equally
// often, so that what the machine does meanwhile meets both.
func (b *bed) takeTurns(ctx context.Context, ours, reference func() error) error {
	sides := []struct {
		name string
		run  func() error
	}{{"ours", ours}, {"reference", reference}}
	for i := range b.rounds() {
		for _, side := range sides {
			var err error
			pprof.Do(ctx, pprof.Labels("side", side.name), func(context.Context) { err = side.run() })
			if err != nil {
				return err
			}
		}
		slices.Reverse(sides)
		fmt.Fprintf(os.Stderr, "  round %d of %d\n", i+1, b.rounds())
	}
	return nil
}
