// Command failover shows processes that share work, and one that takes over when
// another is gone. Run it in two terminals, on the same PostgreSQL:
//
//	go run ./examples/failover --dsn postgres://user@host/database
//
// Both append events and run the same consumer. One works on it; end that one, with
// Ctrl-C or kill -9, and see how long events have to wait for the other one. A process
// that ends in good order says so; that another was killed, a process finds out when it
// next asks, each second.
//
// With --demo it starts both by itself, kills the one that works, and ends with exit code
// 0 if the other one took over in time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/subscribe"
)

// Ticked is an event that a process appends now and then.
type Ticked struct{ By int }

func (Ticked) EventType() string { return "clock.ticked" }

var events = codec.NewUnion(codec.Case(func(e Ticked) Ticked { return e }))

// segments divide the consumer into parts, each worked on by one process at a time.
const segments = 2

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

func run() error {
	dsn := flag.String("dsn", os.Getenv("DATABASE_URL"), "the `URL` of a PostgreSQL database, by default $DATABASE_URL")
	schema := flag.String("schema", "peat_failover", "the `name` of the schema that keeps the events")
	demo := flag.Bool("demo", false, "start two processes, kill one, and see the other take over")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv(childVariable) != "" {
		go func() { _, _ = io.Copy(io.Discard, os.Stdin); stop() }() // not longer than the demo
	}
	switch {
	case *dsn == "":
		return errors.New("give a database with --dsn postgres://user@host/database; one to throw away is\n" +
			"  docker run --rm -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres\n  --dsn postgres://postgres@localhost/postgres")
	case *demo:
		return showTakeover(ctx, *dsn, *schema, os.Stdout)
	}
	return work(ctx, *dsn, *schema)
}

// work is what every process does: append, and run the consumer.
func work(ctx context.Context, dsn, schema string) error {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	opts := postgres.Options{Schema: schema}
	if err := postgres.Migrate(ctx, pool, opts); err != nil {
		return err
	}
	store, err := postgres.Open(ctx, pool, opts)
	if err != nil {
		return err
	}
	teller := &teller{fresh: map[string]bool{}}
	runner, err := subscribe.NewRunner(store, subscribe.RunnerOptions{Tracers: subscribe.Tracers{Lease: teller, Handle: teller}}, subscribe.Consumer{
		Name: "clock", Filter: es.Filter{Categories: []string{"clock"}}, Segments: segments,
		Delivery: subscribe.AtLeastOnce(subscribe.Each(events, subscribe.Func[Ticked](func(context.Context, es.Envelope[Ticked]) error {
			return nil // the work
		}))),
	})
	if err != nil {
		return err
	}
	teller.say("started, works on what nobody else does")
	go keepTicking(ctx, store)
	return runner.Run(ctx)
}

// keepTicking appends an event every 50 ms, to streams of both segments.
func keepTicking(ctx context.Context, store es.Store) {
	for n := 0; ctx.Err() == nil; n++ {
		data := fmt.Appendf(nil, `{"By": %d}`, os.Getpid())
		stream := es.StreamID{Category: "clock", Key: strconv.Itoa(n % 8)}
		if _, err := store.Append(ctx, stream, es.Any, es.EventData{Type: Ticked{}.EventType(), Data: data}); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// teller says who works on what. It is a LeaseTracer and a HandleTracer.
type teller struct {
	mu    sync.Mutex
	fresh map[string]bool // segments of which no event was handled yet
}

func (t *teller) say(format string, args ...any) {
	fmt.Printf("process %d: %s\n", os.Getpid(), fmt.Sprintf(format, args...))
}

// TraceLease says what this process begins and ends to work on.
func (t *teller) TraceLease(_ context.Context, segment string, held bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fresh[segment] = held
	t.say(map[bool]string{true: "begins to work on %s", false: "has given up %s"}[held], segment)
}

// TraceHandle says how long the first event of a segment had to wait.
func (t *teller) TraceHandle(ctx context.Context, h subscribe.Handling) (context.Context, func(int, error)) {
	return ctx, func(handled int, _ error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.fresh[h.Subscription] && handled > 0 {
			t.fresh[h.Subscription] = false
			t.say("handles %s, whose next event had waited %v", h.Subscription, time.Since(h.Events[0].RecordedAt).Round(time.Millisecond))
		}
	}
}

// TraceParked is for consumers that set events aside.
func (*teller) TraceParked(context.Context, string, es.Failure) {}
