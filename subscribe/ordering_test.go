package subscribe_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
	"github.com/peatlog/peat/proptest"
	"github.com/peatlog/peat/subscribe"
)

// These tests hold the ordering contract of the seed, by their names there, on
// real PostgreSQL. Under the Settled horizon they assert what the seed asserts,
// under Committed that nothing waits.

var horizons = []es.Horizon{es.Committed, es.Settled}

// eachHorizon runs a test for both horizons, each on an empty log.
func eachHorizon(t *testing.T, test func(t *testing.T, log *backends.Postgres, horizon es.Horizon)) {
	t.Helper()
	for _, horizon := range horizons {
		t.Run(horizon.String(), func(t *testing.T) {
			t.Parallel()
			test(t, backends.NewPostgres(t), horizon)
		})
	}
}

func marked(mark string) es.EventData {
	return es.EventData{Type: "ordering.marked", Data: fmt.Appendf(nil, `{"mark": %q}`, mark)}
}

var (
	streamS = es.StreamID{Category: "ordering", Key: "s"}
	streamT = es.StreamID{Category: "ordering", Key: "t"}
)

func subscription(t *testing.T, log *backends.Postgres, opts subscribe.Options) *subscribe.Subscription {
	t.Helper()
	sub, err := subscribe.New(log.Store, "sub", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.Close)
	return sub
}

// begin begins a transaction that has its id at once, before it appends.
func begin(t *testing.T, log *backends.Postgres) (pgx.Tx, *postgres.Tx) {
	t.Helper()
	tx, err := log.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) }) // if the test failed before
	if _, err := tx.Exec(t.Context(), "SELECT pg_current_xact_id()"); err != nil {
		t.Fatal(err)
	}
	return tx, log.Store.Join(tx)
}

// early runs f in a transaction that has its id long before, so that others overtake it.
func early(ctx context.Context, log *backends.Postgres, before time.Duration, f func(tx *postgres.Tx) error) error {
	return log.Store.InTx(ctx, func(tx *postgres.Tx) error {
		if _, err := tx.SQL().Exec(ctx, "SELECT pg_current_xact_id(), pg_sleep($1)", before.Seconds()); err != nil {
			return err
		}
		return f(tx)
	})
}

func mustAppend(t *testing.T, s es.Appender, stream es.StreamID, expected es.Expected, events ...es.EventData) {
	t.Helper()
	if _, err := s.Append(t.Context(), stream, expected, events...); err != nil {
		t.Fatal(err)
	}
}

func mustEnd(t *testing.T, end func(context.Context) error) {
	t.Helper()
	if err := end(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func mustPoll(t *testing.T, sub *subscribe.Subscription) []es.Recorded {
	t.Helper()
	events, err := sub.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// collect polls until enough events have come. Other tests' open transactions on
// the same server may hold a Settled reader back meanwhile.
func collect(t *testing.T, sub *subscribe.Subscription, n int) []es.Recorded {
	t.Helper()
	var all []es.Recorded
	for deadline := time.Now().Add(30 * time.Second); len(all) < n; {
		all = append(all, mustPoll(t, sub)...)
		if time.Now().After(deadline) {
			t.Fatalf("got %d events, want %d", len(all), n)
		}
	}
	return all
}

// places prints which events these are.
func places(events []es.Recorded) []string {
	out := make([]string, 0, len(events))
	for _, e := range events {
		out = append(out, fmt.Sprintf("%s@%d", e.Stream.Key, e.Version))
	}
	return out
}

func wantPlaces(t *testing.T, got []es.Recorded, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, places(got)); diff != "" {
		t.Errorf("delivered (-want +got):\n%s", diff)
	}
}

// invertedPair makes a stream whose version 2 has the older transaction.
func invertedPair(t *testing.T, log *backends.Postgres) {
	t.Helper()
	tx, a := begin(t, log)
	mustAppend(t, log.Store, streamS, es.NoStream, marked("v1"))
	mustAppend(t, a, streamS, es.Exact(1), marked("v2"))
	mustEnd(t, tx.Commit)
}

// Row B51.
func TestSameBatchInversionIsReordered(t *testing.T) {
	t.Parallel()
	eachHorizon(t, func(t *testing.T, log *backends.Postgres, horizon es.Horizon) {
		sub := subscription(t, log, subscribe.Options{Horizon: horizon})
		invertedPair(t, log)
		wantPlaces(t, collect(t, sub, 2), "s@1", "s@2")
	})
}

// Row B52.
func TestLimitCutDoesNotSplitInversion(t *testing.T) {
	t.Parallel()
	eachHorizon(t, func(t *testing.T, log *backends.Postgres, horizon es.Horizon) {
		sub := subscription(t, log, subscribe.Options{Horizon: horizon, BatchEvents: 1})
		invertedPair(t, log)
		wantPlaces(t, collect(t, sub, 2), "s@1", "s@2")
	})
}

// Row B53. Transactions by age: A, the pin, the one of v1.
func TestCrossPollInversionIsHeldBack(t *testing.T) {
	t.Parallel()
	eachHorizon(t, func(t *testing.T, log *backends.Postgres, horizon es.Horizon) {
		sub := subscription(t, log, subscribe.Options{Horizon: horizon})
		txA, a := begin(t, log)
		pin, _ := begin(t, log)
		mustAppend(t, log.Store, streamS, es.NoStream, marked("v1"))
		mustAppend(t, a, streamS, es.Exact(1), marked("v2"))
		mustEnd(t, txA.Commit)
		if horizon == es.Committed {
			wantPlaces(t, mustPoll(t, sub), "s@1", "s@2")
			return
		}
		for until := time.Now().Add(800 * time.Millisecond); time.Now().Before(until); {
			if got := mustPoll(t, sub); len(got) > 0 {
				t.Fatalf("delivered %v while v1 is blocked", places(got))
			}
		}
		mustEnd(t, pin.Rollback)
		wantPlaces(t, collect(t, sub, 2), "s@1", "s@2")
	})
}

// Row B54. Transactions by age: A, D, the pin, the one of v1.
func TestUnrelatedStreamsFlowDuringHoldbackAndCheckpointLags(t *testing.T) {
	t.Parallel()
	eachHorizon(t, func(t *testing.T, log *backends.Postgres, horizon es.Horizon) {
		sub := subscription(t, log, subscribe.Options{Horizon: horizon})
		txA, a := begin(t, log)
		txD, d := begin(t, log)
		pin, _ := begin(t, log)
		mustAppend(t, log.Store, streamS, es.NoStream, marked("v1"))
		mustAppend(t, a, streamS, es.Exact(1), marked("v2"))
		mustEnd(t, txA.Commit)
		mustAppend(t, d, streamT, es.NoStream, marked("t1"))
		mustEnd(t, txD.Commit)
		if horizon == es.Committed {
			wantPlaces(t, mustPoll(t, sub), "s@1", "s@2", "t@1")
			return
		}
		wantPlaces(t, collect(t, sub, 1), "t@1")
		mustEnd(t, sub.Checkpoint)
		mustEnd(t, pin.Rollback)

		// After a restart from the stored checkpoint the held events come, in order.
		var held []es.Recorded
		for _, e := range collect(t, subscription(t, log, subscribe.Options{Horizon: horizon}), 2) {
			if e.Stream == streamS {
				held = append(held, e)
			}
		}
		wantPlaces(t, held, "s@1", "s@2")
	})
}

// Row B55. The checkpoint is forged so that it claims v2 and lacks v1.
func TestLegacyInvertedCheckpointTripsBackstopLoudly(t *testing.T) {
	t.Parallel()
	eachHorizon(t, func(t *testing.T, log *backends.Postgres, horizon es.Horizon) {
		invertedPair(t, log)
		honest := subscription(t, log, subscribe.Options{Horizon: horizon})
		collect(t, honest, 2)
		mustEnd(t, honest.Checkpoint)
		cp, revision, err := log.Store.LoadCheckpoint(t.Context(), "sub")
		if err != nil {
			t.Fatal(err)
		}
		forged := forge(t, log, horizon, cp)
		if err := log.Store.SaveProgress(t.Context(), es.Progress{Subscription: "sub", Revision: revision, Checkpoint: forged}); err != nil {
			t.Fatal(err)
		}
		sub := subscription(t, log, subscribe.Options{Horizon: horizon})
		for range 2 { // it stays so
			events, err := pollUntil(t, sub, func(events []es.Recorded, err error) bool { return len(events) > 0 || err != nil })
			violation, ok := errors.AsType[*es.OrderingViolationError](err)
			if !ok || !errors.Is(err, es.ErrOrderingViolation) {
				t.Fatalf("delivered %v, error %v; want ErrOrderingViolation", places(events), err)
			}
			want := es.OrderingViolationError{Subscription: "sub", Stream: streamS, Version: 1, LastDelivered: 2}
			if diff := cmp.Diff(want, *violation); diff != "" || len(events) > 0 {
				t.Errorf("delivered %v, violation (-want +got):\n%s", places(events), diff)
			}
		}
	})
}

var fromFrontier = regexp.MustCompile(`"from": ?\{[^}]*\}`)

// forge puts a frontier into the checkpoint at which v2 (of the older transaction)
// was visible, and v1 was not.
func forge(t *testing.T, log *backends.Postgres, horizon es.Horizon, cp es.Checkpoint) es.Checkpoint {
	t.Helper()
	var v1, v2, position uint64
	err := log.Pool.QueryRow(t.Context(), `
		SELECT v1.transaction_id::text::bigint, v2.transaction_id::text::bigint, v2.global_position
		FROM `+log.Table("events")+` v1, `+log.Table("events")+` v2
		WHERE v1.stream_version = 1 AND v2.stream_version = 2`).Scan(&v1, &v2, &position)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := fmt.Sprintf("%d:%d:%d", v1, v1+1, v1)
	if horizon == es.Settled {
		// There v2 counts as delivered only together with v1: edit the log as well.
		if _, err := log.Pool.Exec(t.Context(), "UPDATE "+log.Table("events")+" SET held_until = NULL"); err != nil {
			t.Fatal(err)
		}
		if _, err := log.Pool.Exec(t.Context(), "UPDATE "+log.Table("streams")+" SET last_xid = $1::text::xid8", strconv.FormatUint(v2, 10)); err != nil {
			t.Fatal(err)
		}
		log.Damaged()
	}
	from := fmt.Sprintf(`"from": {"epoch": 1, "snapshot": %q, "next": %d, "last_position": %d}`, snapshot, v1+1, position)
	forged := fromFrontier.ReplaceAllString(string(cp), from)
	if forged == string(cp) || !strings.Contains(forged, snapshot) {
		t.Fatalf("cannot forge %s", cp)
	}
	return es.Checkpoint(forged)
}

// pollUntil polls until the outcome is the wanted one.
func pollUntil(t *testing.T, sub *subscribe.Subscription, enough func([]es.Recorded, error) bool) ([]es.Recorded, error) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		events, err := sub.Poll(t.Context())
		if enough(events, err) || time.Now().After(deadline) {
			return events, err
		}
	}
}

// Row B56.
func TestChaosConcurrentScopesNeverRegressPerStreamOrder(t *testing.T) {
	t.Parallel()
	const streams, versions = 4, 20
	eachHorizon(t, func(t *testing.T, log *backends.Postgres, horizon es.Horizon) {
		sub := subscription(t, log, subscribe.Options{Horizon: horizon, BatchEvents: 7})
		var r proptest.Recorder
		f := r.Follow(proptest.Follower{Name: "sub", RealTime: horizon == es.Committed})
		ctx, stop := context.WithCancel(t.Context())
		var pins, writers sync.WaitGroup
		pins.Go(func() { // transactions of other people keep the horizon jagged
			for ctx.Err() == nil {
				_ = early(context.WithoutCancel(ctx), log, 15*time.Millisecond, func(*postgres.Tx) error { return errors.New("roll back") })
			}
		})
		for s := range streams {
			writers.Go(func() {
				stream := es.StreamID{Category: "ordering", Key: strconv.Itoa(s)}
				for v := range int64(versions) {
					write := func(to es.Appender) error {
						_, err := to.Append(ctx, stream, es.Exact(v), marked("v"))
						return err
					}
					var err error
					if v%2 == 0 {
						err = write(r.Appender(log.Store))
					} else {
						err = r.Transaction(func(record func(es.Appender) es.Appender) error {
							return early(ctx, log, time.Duration(3+v%7)*time.Millisecond, func(tx *postgres.Tx) error { return write(record(tx)) })
						})
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		written := make(chan struct{})
		go func() { writers.Wait(); stop(); pins.Wait(); close(written) }()
		for deadline := time.Now().Add(time.Minute); f.Count() < streams*versions && time.Now().Before(deadline); {
			f.Delivered(mustPoll(t, sub)...)
		}
		<-written
		f.Delivered(mustPoll(t, sub)...)
		settle(t, &r, log.Store)
	})
}

// Row B57.
func TestRestartReplayDoesNotTripBackstop(t *testing.T) {
	t.Parallel()
	eachHorizon(t, func(t *testing.T, log *backends.Postgres, horizon es.Horizon) {
		sub := subscription(t, log, subscribe.Options{Horizon: horizon})
		mustAppend(t, log.Store, streamS, es.NoStream, marked("v1"))
		mustAppend(t, log.Store, streamS, es.Exact(1), marked("v2"))
		wantPlaces(t, collect(t, sub, 2), "s@1", "s@2")
		mustEnd(t, sub.Checkpoint)
		mustEnd(t, sub.Reset)
		wantPlaces(t, collect(t, sub, 2), "s@1", "s@2")
		if got := mustPoll(t, sub); len(got) > 0 {
			t.Errorf("delivered again: %v", places(got))
		}
	})
}
