package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
)

// The recipe of every xid inversion: a transaction that has its id early appends
// behind one that began later and committed first.
func TestHeldUntilIsThePreviousEventsTransaction(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	err := log.Store.InTx(t.Context(), func(tx *postgres.Tx) error {
		if _, err := tx.SQL().Exec(t.Context(), "SELECT pg_current_xact_id()"); err != nil {
			return err
		}
		if _, err := log.Store.Append(t.Context(), streamA, es.NoStream, noted()); err != nil {
			return err
		}
		_, err := tx.Append(t.Context(), streamA, es.Exact(1), noted())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	inverted := false
	err = log.Pool.QueryRow(t.Context(), `
		SELECT v2.transaction_id < v1.transaction_id AND v2.held_until = v1.transaction_id AND v1.held_until IS NULL
		FROM `+log.Table("events")+` v1, `+log.Table("events")+` v2
		WHERE v1.stream_version = 1 AND v2.stream_version = 2`).Scan(&inverted)
	if err != nil || !inverted {
		t.Errorf("held_until of version 2 is not the transaction of version 1: %v, %v", inverted, err)
	}
	// The hold passes on to what follows in an older transaction, and ends with a newer one.
	if _, err := log.Store.Append(t.Context(), streamA, es.Exact(2), noted()); err != nil {
		t.Fatal(err)
	}
	held := false
	err = log.Pool.QueryRow(t.Context(), "SELECT held_until IS NOT NULL FROM "+log.Table("events")+" WHERE stream_version = 3").Scan(&held)
	if err != nil || held {
		t.Errorf("version 3 of a newer transaction is held: %v, %v", held, err)
	}
}

// A plan that was made while the tables were empty must not survive their
// growth: one connection appends first to an empty log, then to a large one.
func TestAppendNeverScansTheLog(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t, func(c *pgxpool.Config) { c.MaxConns = 1 })
	const appends = 10
	appendAll := func(s es.Appender, key string) error {
		for i := range appends {
			stream := es.StreamID{Category: "test", Key: key + strconv.Itoa(i)}
			e := noted()
			e.ID = uuid.New() // so that the second append has to be searched for
			for range 2 {
				if _, err := s.Append(t.Context(), stream, es.Any, e); err != nil {
					return err
				}
			}
			if _, err := s.Append(t.Context(), stream, es.NoStream, noted()); !errors.Is(err, es.ErrConflict) {
				return fmt.Errorf("got %w, want a conflict", err)
			}
		}
		return nil
	}
	for _, key := range []string{"empty", "small"} { // the second with statistics of a few rows
		if err := appendAll(log.Store, key); err != nil {
			t.Fatal(err)
		}
		exec(t, log, "VACUUM ANALYZE "+log.Table("streams")+", "+log.Table("events"))
	}
	if err := appendAll(log.Store, "planned"); err != nil {
		t.Fatal(err)
	}
	err := log.Store.InTx(t.Context(), func(tx *postgres.Tx) error {
		for n := range 5000 {
			if _, err := tx.LockStream(t.Context(), es.StreamID{Category: "bulk", Key: strconv.Itoa(n)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = log.Store.InTx(t.Context(), func(tx *postgres.Tx) error {
		// What this connection has read and not reported to the statistics yet.
		read := func() (scanned, fetched int64) {
			err := tx.SQL().QueryRow(t.Context(), `
				SELECT sum(seq_tup_read), sum(idx_tup_fetch) FROM pg_stat_xact_user_tables
				WHERE schemaname = $1 AND relname IN ('streams', 'events')`, log.Options.Schema).Scan(&scanned, &fetched)
			if err != nil {
				t.Fatal(err)
			}
			return scanned, fetched
		}
		_, before := read()
		err := appendAll(tx, "late")
		scanned, fetched := read()
		fetched -= before
		if scanned != 0 || fetched == 0 || fetched > 3*8*appends {
			t.Errorf("%d appends read %d rows by scan and %d by index", 3*appends, scanned, fetched)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Behind a connection pooler, statements cannot stay prepared.
func TestEveryQueryMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			log := backends.NewPostgres(t, func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = mode })
			want := []es.EventData{
				{ID: uuid.New(), Type: "test.json", Data: []byte(`{"a": "'\\\""}`), Metadata: es.Metadata{Actor: "ann"}},
				{ID: uuid.New(), Type: "test.binary", Data: []byte("\x00'\\\xff"), Binary: true},
			}
			for _, duplicate := range []bool{false, true} {
				if result, err := log.Store.Append(t.Context(), streamA, es.Any, want...); err != nil || result.Duplicate != duplicate {
					t.Fatalf("%+v, %v", result, err)
				}
			}
			i := 0
			for rec, err := range log.Store.ReadStream(t.Context(), streamA, es.ReadOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				if rec.ID != want[i].ID || !bytes.Equal(rec.Data, want[i].Data) || rec.Binary != want[i].Binary || rec.Metadata.Actor != want[i].Metadata.Actor {
					t.Errorf("got %+v, want %+v", rec, want[i])
				}
				i++
			}
			if i != len(want) {
				t.Errorf("read %d events of %d", i, len(want))
			}
			followInEveryShape(t, log, want)
			if err := log.Store.WriteSnapshot(t.Context(), es.Snapshot{Stream: streamA, Version: 2, Data: []byte{0, 0xff}}); err != nil {
				t.Error(err)
			}
			if s, ok, err := log.Store.ReadSnapshot(t.Context(), streamA); err != nil || !ok || !bytes.Equal(s.Data, []byte{0, 0xff}) {
				t.Errorf("%+v, %v, %v", s, ok, err)
			}
		})
	}
}

// followInEveryShape reads the feed by each kind of statement that it has: with and
// without running transactions, of both horizons, by each filter.
func followInEveryShape(t *testing.T, log *backends.Postgres, want []es.EventData) {
	t.Helper()
	tx, err := log.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) //nolint:errcheck // nothing is in it
	for _, db := range []interface {
		Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	}{tx, log.Pool} { // the first runs on, the second ends: so a snapshot lists the first
		if _, err := db.Exec(t.Context(), "SELECT pg_current_xact_id()"); err != nil {
			t.Fatal(err)
		}
	}
	filters := []es.Filter{
		{}, {Types: []string{"test.json", "test.binary"}}, {Stream: streamA}, {Segments: 1},
		{Categories: []string{streamA.Category}}, {Categories: []string{streamA.Category, "none"}},
	}
	cps := make([]es.Checkpoint, len(filters))
	read := func(first int) {
		t.Helper()
		for i, filter := range filters {
			batch, err := log.Store.Feed(t.Context(), cps[i], es.FeedOptions{Filter: filter, MaxEvents: 10})
			if err != nil {
				t.Fatalf("%+v: %v", filter, err)
			}
			cps[i] = batch.Next
			if len(batch.Events) != len(want)-first {
				t.Fatalf("%+v: %d events, want %d", filter, len(batch.Events), len(want)-first)
			}
			for n, e := range batch.Events {
				data := want[first+n]
				if e.ID != data.ID || !bytes.Equal(e.Data, data.Data) || e.Binary != data.Binary || e.Type != data.Type ||
					e.Metadata.Actor != data.Metadata.Actor || e.Stream != streamA || e.Version != int64(first+n+1) || time.Since(e.RecordedAt).Abs() > time.Hour {
					t.Errorf("%+v: got %+v, want %+v", filter, e, data)
				}
			}
		}
	}
	read(0)
	third := es.EventData{ID: uuid.New(), Type: "test.json", Data: []byte(`{}`)}
	if _, err := log.Store.Append(t.Context(), streamA, es.Any, third); err != nil {
		t.Fatal(err)
	}
	want = append(want[:len(want):len(want)], third)
	read(len(want) - 1)
	for _, filter := range filters {
		if _, err := log.Store.Feed(t.Context(), "", es.FeedOptions{Filter: filter, Horizon: es.Settled}); err != nil {
			t.Errorf("%+v, settled: %v", filter, err)
		}
	}
}
