package postgres_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
)

var (
	streamA = es.StreamID{Category: "test", Key: "a"}
	streamB = es.StreamID{Category: "test", Key: "b"}
)

func noted() es.EventData { return es.EventData{Type: "test.noted", Data: []byte(`{}`)} }

func count(t *testing.T, s es.StreamReader, stream es.StreamID) int {
	t.Helper()
	n := 0
	for _, err := range s.ReadStream(t.Context(), stream, es.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestJoinSharesTheCallersTransaction(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	notes := log.Table("notes")
	exec(t, log, "CREATE TABLE "+notes+" (n int)")
	run := func(end func(pgx.Tx) error) {
		t.Helper()
		tx, err := log.Pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		joined := log.Store.Join(tx)
		if _, err := joined.SQL().Exec(t.Context(), "INSERT INTO "+notes+" VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		if _, err := joined.Append(t.Context(), streamA, es.NoStream, noted()); err != nil {
			t.Fatal(err)
		}
		joined.AfterCommit(func() { t.Error("nobody can know of the commit of a joined transaction") })
		if err := end(tx); err != nil {
			t.Fatal(err)
		}
	}
	want := func(want int) {
		t.Helper()
		rows := 0
		if err := log.Pool.QueryRow(t.Context(), "SELECT count(*) FROM "+notes).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		if events := count(t, log.Store, streamA); rows != want || events != want {
			t.Errorf("%d rows and %d events, want %d of each", rows, events, want)
		}
	}
	run(func(tx pgx.Tx) error { return tx.Rollback(t.Context()) })
	want(0)
	run(func(tx pgx.Tx) error { return tx.Commit(t.Context()) })
	want(1)
}

func TestSavepointRolledBackTakesItsEventsAlong(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	err := log.Store.InTx(t.Context(), func(tx *postgres.Tx) error {
		if _, err := tx.Append(t.Context(), streamA, es.NoStream, noted()); err != nil {
			return err
		}
		errRefused := errors.New("refused")
		err := pgx.BeginFunc(t.Context(), tx.SQL(), func(savepoint pgx.Tx) error {
			if _, err := log.Store.Join(savepoint).Append(t.Context(), streamA, es.Exact(1), noted(), noted()); err != nil {
				return err
			}
			return errRefused
		})
		if !errors.Is(err, errRefused) {
			return err
		}
		_, err = tx.Append(t.Context(), streamA, es.Exact(1), noted())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, log.Store, streamA); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}

// Defect W23: what the server ended in favour of others says that it can be repeated.
func TestDeadlockIsReportedAsBusy(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	bothHold := make(chan struct{}, 2)
	proceed := make(chan struct{})
	outcomes := make(chan error, 2)
	crossing := func(first, second es.StreamID) {
		outcomes <- log.Store.InTx(t.Context(), func(tx *postgres.Tx) error {
			_, err := tx.LockStream(t.Context(), first)
			bothHold <- struct{}{}
			if err != nil {
				return err
			}
			<-proceed
			_, err = tx.Append(t.Context(), second, es.Any, noted())
			return err
		})
	}
	go crossing(streamA, streamB)
	go crossing(streamB, streamA)
	<-bothHold
	<-bothHold
	close(proceed)
	first, second := <-outcomes, <-outcomes
	if first != nil && second != nil || !errors.Is(errors.Join(first, second), es.ErrBusy) {
		t.Errorf("got errors %v and %v, want one ErrBusy", first, second)
	}
}

func TestStricterIsolationFailsAsBusy(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	err := pgx.BeginTxFunc(t.Context(), log.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "SELECT 1"); err != nil { // takes the snapshot
			return err
		}
		if _, err := log.Store.Append(t.Context(), streamA, es.NoStream, noted()); err != nil {
			return err
		}
		_, err := log.Store.Join(tx).Append(t.Context(), streamA, es.Any, noted())
		return err
	})
	if !errors.Is(err, es.ErrBusy) {
		t.Errorf("got error %v, want ErrBusy", err)
	}
}

// A pool of one connection serves everything that does not need two at once.
func TestPoolOfOneConnection(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t, func(c *pgxpool.Config) { c.MaxConns = 1 })
	err := log.Store.InTx(t.Context(), func(tx *postgres.Tx) error {
		_, err := tx.Append(t.Context(), streamA, es.NoStream, noted())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for rec, err := range log.Store.ReadStream(t.Context(), streamA, es.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Store.Append(t.Context(), streamB, es.NoStream, es.EventData{Type: rec.Type, Data: rec.Data}); err != nil {
			t.Error(err)
		}
	}
}
