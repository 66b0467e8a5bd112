package subscribe_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/pgtest"
	"github.com/peatlog/peat/proptest"
	"github.com/peatlog/peat/subscribe"
)

// cluster is a log in a cluster of its own.
type cluster struct {
	*pgtest.Cluster
	pool  *pgxpool.Pool
	store *postgres.Store
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{Cluster: pgtest.NewCluster(t, pgtest.Options{})}
	var err error
	if c.pool, err = pgxpool.New(t.Context(), c.URL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.pool.Close)
	return c
}

func (c *cluster) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := c.pool.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatalf("%.60s…: %v", sql, err)
	}
}

// burn uses up transaction ids.
func (c *cluster) burn(t *testing.T, n int) {
	t.Helper()
	c.exec(t, fmt.Sprintf("DO $$ BEGIN FOR i IN 1..%d LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$", n))
}

// create makes an empty log.
func (c *cluster) create(t *testing.T) {
	t.Helper()
	if err := postgres.Migrate(t.Context(), c.pool, postgres.Options{}); err != nil {
		t.Fatal(err)
	}
	c.open(t)
}

func (c *cluster) open(t *testing.T) {
	t.Helper()
	var err error
	if c.store, err = postgres.Open(t.Context(), c.pool, postgres.Options{}); err != nil {
		t.Fatal(err)
	}
}

// invert appends an inverted pair to a stream: two events, the second one of the
// older transaction.
func (c *cluster) invert(t *testing.T, stream es.StreamID) {
	t.Helper()
	err := c.store.InTx(t.Context(), func(tx *postgres.Tx) error {
		if _, err := tx.SQL().Exec(t.Context(), "SELECT pg_current_xact_id()"); err != nil {
			return err
		}
		if _, err := c.store.Append(t.Context(), stream, es.Any, marked("first")); err != nil {
			return err
		}
		_, err := tx.Append(t.Context(), stream, es.StreamExists, marked("second"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// moveTo dumps the log and restores it, as pg_dump does; where the server came
// without pg_dump, its tables are copied.
func (c *cluster) moveTo(t *testing.T, to *cluster) {
	t.Helper()
	if c.Bin("pg_dump") == "" {
		c.copyTo(t, to)
		to.exec(t, "SELECT setval('peat.events_global_position_seq', (SELECT max(global_position) FROM peat.events))")
		return
	}
	dump := exec.CommandContext(t.Context(), c.Bin("pg_dump"), "--schema=peat", "--inserts", "--dbname="+c.URL())
	var stderr strings.Builder
	dump.Stderr = &stderr
	script, err := dump.Output()
	if err != nil {
		t.Fatalf("pg_dump: %v\n%s", err, stderr.String())
	}
	lines := slices.DeleteFunc(strings.Split(string(script), "\n"), func(line string) bool { return strings.HasPrefix(line, `\`) }) // psql's own
	conn, err := pgx.Connect(t.Context(), to.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // its settings are the script's
	if _, err := conn.Exec(t.Context(), strings.Join(lines, "\n"), pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatalf("restore: %v", err)
	}
}

// copyTo moves the rows as logical replication does, which leaves the sequences behind.
func (c *cluster) copyTo(t *testing.T, to *cluster) {
	t.Helper()
	if err := postgres.Migrate(t.Context(), to.pool, postgres.Options{}); err != nil {
		t.Fatal(err)
	}
	to.exec(t, "TRUNCATE peat.epochs")
	for _, table := range []string{"epochs", "streams", "events", "subscriptions"} {
		var rows bytes.Buffer
		err := c.pool.AcquireFunc(t.Context(), func(conn *pgxpool.Conn) error {
			_, err := conn.Conn().PgConn().CopyTo(t.Context(), &rows, "COPY peat."+table+" TO STDOUT")
			return err
		})
		if err != nil {
			t.Fatalf("copy %s: %v", table, err)
		}
		err = to.pool.AcquireFunc(t.Context(), func(conn *pgxpool.Conn) error {
			_, err := conn.Conn().PgConn().CopyFrom(t.Context(), &rows, "COPY peat."+table+" FROM STDIN")
			return err
		})
		if err != nil {
			t.Fatalf("copy %s: %v", table, err)
		}
	}
	to.exec(t, "SELECT setval('peat.streams_stream_no_seq', (SELECT max(stream_no) FROM peat.streams))")
}

// A log is moved to a cluster whose transaction ids are lower, or higher. A
// subscription of before the move, which stands in the middle of a window, and a
// new one each get everything once and in order.
func TestMovedLog(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		old, fresh int // transaction ids used up before
		copied     bool
		foreign    bool
	}{
		"dump to lower ids":  {old: 5000, foreign: true},
		"dump to higher ids": {fresh: 5000},
		"copy to lower ids":  {old: 5000, foreign: true, copied: true},
		"copy to higher ids": {fresh: 5000, foreign: true, copied: true},
	} {
		for _, horizon := range horizons {
			t.Run(name+"/"+horizon.String(), func(t *testing.T) {
				t.Parallel()
				testMovedLog(t, c.old, c.fresh, c.copied, c.foreign, horizon)
			})
		}
	}
}

func testMovedLog(t *testing.T, burnOld, burnFresh int, copied, foreign bool, horizon es.Horizon) {
	t.Helper()
	old, fresh := newCluster(t), newCluster(t)
	old.burn(t, burnOld)
	fresh.burn(t, burnFresh)
	old.create(t)
	for range 3 {
		old.invert(t, streamS)
	}
	subscriptionOf := func(c *cluster, name string) *subscribe.Subscription {
		sub, err := subscribe.New(c.store, name, subscribe.Options{Horizon: horizon, BatchEvents: 4})
		if err != nil {
			t.Fatal(err)
		}
		return sub
	}
	before := subscriptionOf(old, "before")
	got := collect(t, before, 4)
	if err := before.CheckpointAfter(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	got = got[:3]
	old.invert(t, streamT) // after the checkpoint's window was opened

	if copied {
		old.copyTo(t, fresh)
	} else {
		old.moveTo(t, fresh)
	}
	_, err := postgres.Open(t.Context(), fresh.pool, postgres.Options{})
	if errors.Is(err, es.ErrForeignEpoch) != foreign {
		t.Fatalf("open: error %v, want ErrForeignEpoch: %v", err, foreign)
	}
	for range 2 { // the second time does nothing
		if foreign {
			if err := postgres.Adopt(t.Context(), fresh.pool, postgres.Options{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	fresh.open(t)
	for range 3 {
		fresh.invert(t, streamS)
		fresh.invert(t, es.StreamID{Category: "ordering", Key: "new"})
	}
	const total = 6 + 2 + 12
	moved := subscriptionOf(fresh, "before")
	got = append(got, collect(t, moved, total-3)...)
	anew := subscriptionOf(fresh, "anew")
	all := collect(t, anew, total)
	var r proptest.Recorder
	for sub, events := range map[*subscribe.Subscription][]es.Recorded{moved: got, anew: all} {
		f := r.Follow(proptest.Follower{Name: sub.Name()})
		f.Delivered(events...)
		for range 4 { // through the ends of the window and of the epoch nothing comes
			f.Delivered(mustPoll(t, sub)...)
		}
	}
	there := 0
	for at, more := es.Checkpoint(""), true; more; { // as All does: through the ends of epochs
		b, err := fresh.store.Feed(t.Context(), at, es.FeedOptions{Horizon: horizon, MaxEvents: 4})
		if err != nil {
			t.Fatal(err)
		}
		there, at, more = there+len(b.Events), b.Next, b.More
	}
	if there != total {
		t.Errorf("%d events come up to the end, want %d", there, total)
	}
	settle(t, &r, fresh.store)
	if n := len(r.History().Log); n != total {
		t.Errorf("the log holds %d events, want %d", n, total)
	}
	var epochs int
	if err := fresh.pool.QueryRow(t.Context(), "SELECT count(*) FROM peat.epochs").Scan(&epochs); err != nil || (epochs == 2) != foreign {
		t.Errorf("%d epochs, %v", epochs, err)
	}
}

// A standby may show commits in another order than the primary.
func TestFeedRefusesAStandby(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.create(t)
	c.invert(t, streamS)
	var folder string
	if err := c.pool.QueryRow(t.Context(), "SHOW data_directory").Scan(&folder); err != nil {
		t.Fatal(err)
	}
	c.pool.Close()
	c.Stop(t, pgtest.Fast)
	if err := os.WriteFile(filepath.Join(folder, "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c.Start(t)
	pool, err := pgxpool.New(t.Context(), c.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	store, err := postgres.Open(t.Context(), pool, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(readStream(t, store, streamS)); n != 2 { // streams can be read there
		t.Errorf("%d events, want 2", n)
	}
	if batch, err := store.Feed(t.Context(), "", es.FeedOptions{}); !errors.Is(err, postgres.ErrStandby) {
		t.Errorf("%d events, error %v; want ErrStandby", len(batch.Events), err)
	}
}

func readStream(t *testing.T, store es.StreamReader, stream es.StreamID) (all []es.Recorded) {
	t.Helper()
	for rec, err := range store.ReadStream(t.Context(), stream, es.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rec)
	}
	return all
}
