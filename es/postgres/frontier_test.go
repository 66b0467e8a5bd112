package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/pgtest"
)

// A frontier's position must have been drawn when it is read. While nextval logs a
// sequence, the sequence's row holds a value that is 32 ahead, and a SELECT can see it:
// such a reading is followed by a lower one. Small WAL buffers make logging slow, so that
// it happens within seconds.
func TestFrontierPositionIsNeverAheadOfWhatWasDrawn(t *testing.T) {
	t.Parallel()
	cluster := pgtest.NewCluster(t, pgtest.Options{Settings: map[string]string{"wal_buffers": "32kB", "autovacuum": "off"}})
	connect := func() *pgx.Conn {
		conn, err := pgx.Connect(t.Context(), cluster.URL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
	reader := connect()
	for _, sql := range []string{
		"CREATE SCHEMA peat",
		"CREATE TABLE peat.events (global_position bigint GENERATED ALWAYS AS IDENTITY (CACHE 1), x text)",
	} {
		if _, err := reader.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	position, seen := postgres.FrontierPosition("peat"), func(name, sql string) func() {
		var last, back, reads int64
		t.Cleanup(func() { t.Logf("%s: %d reads, %d below the one before", name, reads, back) })
		return func() {
			var n int64
			if err := reader.QueryRow(t.Context(), sql).Scan(&n); err != nil {
				t.Fatal(err)
			}
			if reads++; n < last {
				if back++; name == "the shipped statement" {
					t.Errorf("position %d was read, then %d", last, n)
				}
			}
			last = n
		}
	}
	shipped := seen("the shipped statement", position)
	// For comparison: the reading that lost events.
	selected := seen("a SELECT of last_value", "SELECT last_value FROM peat.events_global_position_seq")
	if shipped(); t.Failed() { // a sequence that was never called
		return
	}

	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for range 3 {
		conn := connect()
		writers.Go(func() {
			for ctx.Err() == nil {
				_, err := conn.Exec(t.Context(), "INSERT INTO peat.events (x) SELECT repeat('x', 100) FROM generate_series(1, 20)")
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end) && !t.Failed(); {
		shipped()
		selected()
	}
	stop()
	writers.Wait()
}
