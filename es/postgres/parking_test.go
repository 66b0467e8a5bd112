package postgres_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
)

// blocked starts f and returns when a statement of it waits for a lock of tx. The
// channel gets the error of f.
func blocked(t *testing.T, log *backends.Postgres, tx *postgres.Tx, f func(ctx context.Context) error) <-chan error {
	t.Helper()
	holder := tx.SQL().Conn().PgConn().PID()
	ended := make(chan error, 1)
	go func() { ended <- f(context.WithoutCancel(t.Context())) }()
	for deadline, waits := time.Now().Add(20*time.Second), false; !waits; {
		select {
		case err := <-ended:
			t.Errorf("it has not waited, and ended with %v", err)
			ended <- err
			return ended
		default:
		}
		err := log.Pool.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)))", holder).Scan(&waits)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("it neither ends nor waits, %v", err)
		}
	}
	return ended
}

// An event that is set aside only to wait for another one, and the discard of that one,
// take effect one after the other.
func TestDiscardAndProgressWaitForEachOther(t *testing.T) {
	t.Parallel()
	failed := es.Failure{Position: 1, Stream: streamA, Version: 1, Attempts: 1}
	waits := es.Failure{Position: 2, Stream: streamA, Version: 2}
	prepare := func(t *testing.T) (log *backends.Postgres, waiting es.Progress, parked func(want ...int64)) {
		t.Helper()
		log = backends.NewPostgres(t)
		if err := log.Store.SaveProgress(t.Context(), es.Progress{Subscription: "s", Park: []es.Failure{failed}}); err != nil {
			t.Fatal(err)
		}
		return log, es.Progress{Subscription: "s", Revision: 1, Park: []es.Failure{waits}}, func(want ...int64) {
			t.Helper()
			all, err := log.Store.Parked(t.Context(), "s")
			var got []int64
			for _, p := range all {
				got = append(got, p.Version)
			}
			if err != nil || !slices.Equal(want, got) {
				t.Errorf("the versions %v are parked, %v; want %v", got, err, want)
			}
		}
	}

	t.Run("progress first", func(t *testing.T) {
		t.Parallel()
		log, waiting, parked := prepare(t)
		var discarded <-chan error
		err := log.Store.InTx(t.Context(), func(tx *postgres.Tx) error {
			if err := tx.SaveProgress(t.Context(), waiting); err != nil {
				return err
			}
			discarded = blocked(t, log, tx, func(ctx context.Context) error {
				return log.Store.Discard(ctx, streamA, 1, "ann", "a test", "s")
			})
			return nil
		})
		if err := errors.Join(err, <-discarded); err != nil {
			t.Error(err)
		}
		parked(2)
	})
	t.Run("discard first", func(t *testing.T) {
		t.Parallel()
		log, waiting, parked := prepare(t)
		var saved <-chan error
		err := log.Store.InTx(t.Context(), func(tx *postgres.Tx) error {
			if _, err := tx.SQL().Exec(t.Context(), "DELETE FROM "+log.Table("parked")); err != nil {
				return err
			}
			saved = blocked(t, log, tx, func(ctx context.Context) error { return log.Store.SaveProgress(ctx, waiting) })
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if err := <-saved; !errors.Is(err, es.ErrNotParked) {
			t.Errorf("got error %v, want ErrNotParked", err)
		}
		parked()
	})
	t.Run("discard of the first of two", func(t *testing.T) {
		t.Parallel()
		log, waiting, parked := prepare(t)
		if err := log.Store.SaveProgress(t.Context(), waiting); err != nil {
			t.Fatal(err)
		}
		waiting.Revision++
		waiting.Park[0].Position, waiting.Park[0].Version = 3, 3
		var saved <-chan error
		err := log.Store.InTx(t.Context(), func(tx *postgres.Tx) error {
			if _, err := tx.SQL().Exec(t.Context(), "DELETE FROM "+log.Table("parked")+" WHERE stream_version = 1"); err != nil {
				return err
			}
			saved = blocked(t, log, tx, func(ctx context.Context) error { return log.Store.SaveProgress(ctx, waiting) })
			return nil
		})
		if err := errors.Join(err, <-saved); err != nil {
			t.Error(err)
		}
		parked(2, 3)
	})
}
