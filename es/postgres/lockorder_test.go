package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/pgtest"
)

// Two batches cannot wait for each other, because each locks its streams in the order
// of their ids: one that waits for the second of three has the first and not the
// third. And it gives up on a lock, so that it does not make its neighbours wait.
func TestBatchLocksInTheOrderOfStreams(t *testing.T) {
	t.Parallel()
	for name, expected := range map[string]es.Expected{"exact": es.Exact(1), "any": es.Any} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, opts := pgtest.NewPool(t), Options{Schema: pgtest.NewSchema(t)}
			if err := Migrate(t.Context(), pool, opts); err != nil {
				t.Fatal(err)
			}
			store, err := Open(t.Context(), pool, opts)
			if err != nil {
				t.Fatal(err)
			}
			event := es.EventData{Type: "test.noted", Data: []byte("{}")}
			stream := func(key string) es.StreamID { return es.StreamID{Category: "test", Key: key} }
			var batch []request
			for _, key := range []string{"c", "a", "b"} {
				if _, err := store.Append(t.Context(), stream(key), es.NoStream, event); err != nil {
					t.Fatal(err)
				}
				p, err := es.Prepare(t.Context(), stream(key), expected, []es.EventData{event}, store.opts.MaxEventBytes)
				if err != nil {
					t.Fatal(err)
				}
				r, err := newRequest(p)
				if err != nil {
					t.Fatal(err)
				}
				batch = append(batch, r)
			}
			err = store.InTx(t.Context(), func(tx *Tx) error {
				if _, err := tx.LockStream(t.Context(), stream("b")); err != nil {
					return err
				}
				_, err := store.appendBatch(context.WithoutCancel(t.Context()), pool, batch)
				return err
			})
			if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != "55P03" {
				t.Fatalf("got error %v, want lock_not_available", err)
			}
			// A row still names the failed transaction that has locked it.
			var locked string
			sql := store.sql.inSchema("SELECT coalesce(string_agg(stream_id, ' ' ORDER BY stream_id), '') FROM {schema}.streams WHERE xmax <> 0 AND stream_id <> 'test-b'")
			if err := pool.QueryRow(t.Context(), sql).Scan(&locked); err != nil || strings.TrimSpace(locked) != "test-a" {
				t.Errorf("locked %q, %v; want test-a", locked, err)
			}
		})
	}
}
