//go:build unix

package aggregate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sys/unix"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
	"github.com/peatlog/peat/internal/pgtest"
)

// The environment of a re-executed test binary, which is the second process.
const (
	linearURL    = "PEAT_TEST_LINEAR_URL"
	linearSchema = "PEAT_TEST_LINEAR_SCHEMA"
)

// victims is the name under which the connections that are to be cut are known.
const victims = "peat_linear"

// operation is one command and what its caller knows of it.
type operation struct {
	Token        int // the event's N; no two commands have the same
	Call, Return int64
	Outcome      outcome
	Seen         sum    // by a refusal
	After        sum    // by a command that has landed and was not a duplicate
	Error        string // for people
}

type outcome int

const (
	landed    outcome = iota // the caller knows that
	duplicate                // an earlier try has landed
	refused                  // by the decision
	failed                   // nothing was written
	unknown
)

// refusal is the error of a decision, with the state that it refused on.
type refusal struct{ seen sum }

func (r *refusal) Error() string { return fmt.Sprintf("refused on %+v", r.seen) }

// refuses is the rule of the commands.
func refuses(s sum, token int) bool { return s.Events%7 == token%7 }

// now is the time in nanoseconds, of a clock that all processes share.
func now() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err)
	}
	return t.Nano()
}

// commands has clients send commands to one stream, some of them impatient, and some of
// them persistent: they repeat until they know.
func commands(ctx context.Context, repo *repository, process int) []operation {
	const clients, each = 12, 60
	var mu sync.Mutex
	var all []operation
	var group sync.WaitGroup
	for client := range clients {
		group.Go(func() {
			for i := range each {
				op := send(ctx, repo, (process*clients+client)*each+i+1, client%3 == 0, client%3 == 1)
				mu.Lock()
				all = append(all, op)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return all
}

func send(ctx context.Context, repo *repository, token int, impatient, persistent bool) operation {
	op := operation{Token: token, Call: now()}
	if impatient {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, rand.N(8*time.Millisecond))
		defer cancel()
	}
	if persistent {
		ctx = es.WithCommandID(ctx, fmt.Sprint(token))
	}
	decide := func(s *sum) ([]event, error) {
		if refuses(*s, token) {
			return nil, &refusal{*s}
		}
		return []event{added{token}}, nil
	}
	var r *root
	var err error
	for try := 0; ; try++ {
		if r, err = repo.Execute(ctx, stream.Key, decide); !persistent || !errors.Is(err, es.ErrOutcomeUnknown) || try > 50 {
			break
		}
	}
	op.Return = now()
	switch refusal, ok := errors.AsType[*refusal](err); {
	case ok:
		op.Outcome, op.Seen = refused, refusal.seen
	case err == nil && r.LastAppend().Duplicate:
		op.Outcome = duplicate
	case err == nil:
		op.Outcome, op.After = landed, *r.State()
	case errors.Is(err, es.ErrOutcomeUnknown):
		op.Outcome = unknown
	default:
		op.Outcome, op.Error = failed, err.Error()
	}
	return op
}

// openLinear opens the log with connections that are going to be cut.
func openLinear(t *testing.T, url, schema string) *repository {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 6
	config.ConnConfig.RuntimeParams["application_name"] = victims + schema
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	opts := postgres.Options{Schema: schema}
	var store *postgres.Store
	for deadline := time.Now().Add(20 * time.Second); store == nil; { // it may be cut right away
		if store, err = postgres.Open(t.Context(), pool, opts); err != nil && time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	return newRepository(store).WithStateCache(1)
}

// Execute on one stream is linearizable, from two processes that both keep its state,
// while connections are lost and callers go away: there is an order of the commands, in
// which each takes its place between its call and its return, that explains all that
// was answered and all that is stored.
func TestExecuteIsLinearizable(t *testing.T) {
	t.Parallel()
	if url := os.Getenv(linearURL); url != "" {
		ops := commands(t.Context(), openLinear(t, url, os.Getenv(linearSchema)), 1)
		if err := json.NewEncoder(os.Stdout).Encode(ops); err != nil {
			t.Fatal(err)
		}
		return
	}
	log := backends.NewPostgres(t)
	url := pgtest.Server(t).URL()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	child := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.timeout=5m")
	child.Env = append(os.Environ(), linearURL+"="+url, linearSchema+"="+log.Options.Schema)
	child.Stdout, child.Stderr = &said, os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var cutting sync.WaitGroup
	cutting.Go(func() { cutConnections(ctx, t, log) })
	ops := commands(t.Context(), openLinear(t, url, log.Options.Schema), 0)
	err = child.Wait()
	stop()
	cutting.Wait()
	if err != nil {
		t.Fatalf("the other process: %v\n%s", err, said.String())
	}
	var others []operation
	if err := json.NewDecoder(&said).Decode(&others); err != nil {
		t.Fatal(err)
	}
	checkLinear(t, log.Store, append(ops, others...))
}

// cutConnections ends a session every few milliseconds.
func cutConnections(ctx context.Context, t *testing.T, log *backends.Postgres) {
	cuts := 0
	const sql = `SELECT count(pg_terminate_backend(pid)) FROM (
		SELECT pid FROM pg_stat_activity WHERE application_name = left($1, 63) ORDER BY random() LIMIT 1) victim`
	for ctx.Err() == nil {
		n := 0
		if err := log.Pool.QueryRow(context.WithoutCancel(ctx), sql, victims+log.Options.Schema).Scan(&n); err != nil {
			t.Error(err)
			return
		}
		cuts += n
		time.Sleep(rand.N(40 * time.Millisecond))
	}
	t.Logf("%d connections were cut", cuts)
}

// place is where an event is, and the state after it.
type place struct {
	version int64
	after   sum
}

// checkLinear compares what the callers know with the log, and looks for an order.
func checkLinear(t *testing.T, store es.StreamReader, ops []operation) {
	t.Helper()
	places, state := map[int]place{}, sum{}
	for rec, err := range store.ReadStream(t.Context(), stream, es.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		env, err := es.Decode(events, rec)
		if err != nil {
			t.Fatal(err)
		}
		state.Apply(env.Event)
		token := env.Event.(added).N
		if _, twice := places[token]; twice {
			t.Errorf("command %d landed twice", token)
		}
		places[token] = place{rec.Version, state}
	}
	var history []porcupine.Operation
	var counts [unknown + 1]int
	for i, op := range ops {
		counts[op.Outcome]++
		at, stored := places[op.Token]
		delete(places, op.Token)
		switch {
		case op.Outcome == failed && stored:
			t.Errorf("command %d failed (%s), and landed as version %d", op.Token, op.Error, at.version)
		case op.Outcome == refused && stored:
			t.Errorf("command %d was refused, and landed as version %d", op.Token, at.version)
		case (op.Outcome == landed || op.Outcome == duplicate) && !stored:
			t.Errorf("command %d landed, and is not there", op.Token)
		case op.Outcome == landed && op.After != at.after:
			t.Errorf("command %d answered %+v, stored is %+v", op.Token, op.After, at.after)
		}
		entry := porcupine.Operation{ClientId: i, Input: op, Call: op.Call, Return: op.Return, Output: at.after}
		switch {
		case op.Outcome == unknown: // when it landed, its caller did not learn
			entry.Return = math.MaxInt64
			fallthrough
		case op.Outcome == landed || op.Outcome == duplicate:
			if stored {
				history = append(history, entry)
			}
		case op.Outcome == refused:
			entry.Output = op.Seen
			history = append(history, entry)
		}
	}
	if len(places) > 0 {
		t.Errorf("%d events of nobody", len(places))
	}
	t.Logf("%d landed, %d found as duplicates, %d refused, %d failed, %d unknown", counts[landed], counts[duplicate], counts[refused], counts[failed], counts[unknown])
	if got := porcupine.CheckOperationsTimeout(oneAtATime, history, time.Minute); got != porcupine.Ok {
		t.Errorf("linearizable: %v", got)
	}
}

// oneAtATime is what a store would do that executes one command after another.
var oneAtATime = porcupine.Model{
	Init: func() any { return sum{} },
	Step: func(state, input, output any) (bool, any) {
		s, op, told := state.(sum), input.(operation), output.(sum)
		if op.Outcome == refused {
			return refuses(s, op.Token) && told == s, s
		}
		if refuses(s, op.Token) {
			return false, s
		}
		s.Apply(added{op.Token})
		return told == s, s
	},
	Equal: func(a, b any) bool { return a == b },
}
