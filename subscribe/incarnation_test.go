package subscribe_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/pgtest"
	"github.com/peatlog/peat/subscribe"
)

// A crash takes back what was delivered but not yet durable, and gives its
// transaction ids and positions out again. The pool reconnects without a word; what
// the subscription remembers must not hide the new events from it.
func TestCrashBetweenTwoPollsIsNoticed(t *testing.T) {
	t.Parallel()
	for _, horizon := range horizons {
		t.Run(horizon.String(), func(t *testing.T) {
			t.Parallel()
			c := &cluster{Cluster: pgtest.NewCluster(t, pgtest.Options{Settings: map[string]string{
				"wal_writer_delay": "10s", "autovacuum": "off", "bgwriter_delay": "10s", "checkpoint_timeout": "1h",
			}})}
			config, err := pgxpool.ParseConfig(c.URL())
			if err != nil {
				t.Fatal(err)
			}
			config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return true } // it finds out before we do
			if c.pool, err = pgxpool.NewWithConfig(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.pool.Close)
			c.create(t)
			sub, err := subscribe.New(c.store, "sub", subscribe.Options{Horizon: horizon})
			if err != nil {
				t.Fatal(err)
			}
			mustAppend(t, c.store, streamS, es.NoStream, marked("durable"))
			wantPlaces(t, collect(t, sub, 1), "s@1")
			mustEnd(t, sub.Checkpoint)

			lost, n := appendLost(t, c, streamS)
			collect(t, sub, n) // not checkpointed
			c.Stop(t, pgtest.Immediate)
			c.Start(t)
			survived := len(readStream(t, c.store, streamS))
			if again := appendAsync(t, c, streamS); survived > n || again > lost {
				t.Fatalf("%d of %d events survived the crash, transaction ids went on at %d after %d: this tests nothing", survived, n+1, again, lost)
			}
			want := make([]string, 0, survived)
			for version := 2; version <= survived+1; version++ {
				want = append(want, "s@"+strconv.Itoa(version))
			}
			var got []es.Recorded
			for deadline := time.Now().Add(20 * time.Second); len(got) < len(want) && time.Now().Before(deadline); {
				got = append(got, mustPoll(t, sub)...)
			}
			wantPlaces(t, got, want...)

			// What was polled before a crash is not stored after it, neither alone nor in
			// a handler's transaction.
			collect(t, sub, 0)
			mustAppend(t, c.store, streamS, es.Any, marked("polled before a crash"))
			collect(t, sub, 1)
			c.Stop(t, pgtest.Immediate)
			c.Start(t)
			if err := sub.Checkpoint(t.Context()); !errors.Is(err, es.ErrLostCheckpoint) {
				t.Errorf("checkpoint after a crash: %v, want ErrLostCheckpoint", err)
			}

			// A user of the feed itself is told.
			batch, err := c.store.Feed(t.Context(), "", es.FeedOptions{Horizon: horizon})
			if err != nil {
				t.Fatal(err)
			}
			c.Stop(t, pgtest.Immediate)
			c.Start(t)
			if _, err := c.store.Feed(t.Context(), batch.Next, es.FeedOptions{Horizon: horizon}); !errors.Is(err, es.ErrLostCheckpoint) {
				t.Errorf("got error %v, want ErrLostCheckpoint", err)
			}
		})
	}
}

// appendLost appends without waiting for the disk, until the last append is one that a crash
// takes away: the server writes out each page of its log that is full, so the last append
// must lie within one that is not. It returns the last transaction's id and how many there were.
func appendLost(t *testing.T, c *cluster, stream es.StreamID) (xid int64, n int) {
	t.Helper()
	for n = 1; n <= 500; n++ {
		var before string
		if err := c.pool.QueryRow(t.Context(), "SELECT pg_current_wal_insert_lsn()").Scan(&before); err != nil {
			t.Fatal(err)
		}
		xid = appendAsync(t, c, stream)
		lost := false
		const within = `SELECT pg_current_wal_flush_lsn() < $1::pg_lsn AND
			div($1::pg_lsn - '0/0', current_setting('wal_block_size')::int) = div(pg_current_wal_insert_lsn() - '0/0', current_setting('wal_block_size')::int)`
		if err := c.pool.QueryRow(t.Context(), within, before).Scan(&lost); err != nil {
			t.Fatal(err)
		}
		if lost && n >= 20 {
			return xid, n
		}
	}
	t.Fatal("every append reaches the disk at once")
	return 0, 0
}

// appendAsync appends without waiting for the disk and returns the transaction's id.
func appendAsync(t *testing.T, c *cluster, stream es.StreamID) (xid int64) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), c.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "SET LOCAL synchronous_commit = off"); err != nil {
			return err
		}
		joined := c.store.Join(tx)
		if _, err := joined.Append(t.Context(), stream, es.StreamExists, marked("asynchronous")); err != nil {
			return err
		}
		return tx.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text::bigint").Scan(&xid)
	})
	if err != nil {
		t.Fatal(err)
	}
	return xid
}
