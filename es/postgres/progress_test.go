package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
)

// saves are the ways to store progress together with a row of table notes.
var saves = map[string]func(ctx context.Context, log *backends.Postgres, notes string, p es.Progress) error{
	"in a transaction of the caller": func(ctx context.Context, log *backends.Postgres, notes string, p es.Progress) error {
		return log.Store.InTx(ctx, func(tx *postgres.Tx) error {
			if _, err := tx.SQL().Exec(ctx, "INSERT INTO "+notes+" VALUES (1)"); err != nil {
				return err
			}
			return tx.SaveProgress(ctx, p)
		})
	},
	"by Deliver": func(ctx context.Context, log *backends.Postgres, notes string, p es.Progress) error {
		return log.Store.Deliver(ctx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO "+notes+" VALUES (1)")
			return err
		}, p)
	},
	"by a pipeline": func(ctx context.Context, log *backends.Postgres, notes string, p es.Progress) error {
		return log.Store.Pipeline().Deliver(ctx, func(batch *pgx.Batch) error {
			batch.Queue("INSERT INTO "+notes+" VALUES ($1)", 1)
			return nil
		}, p)
	},
	"by a pipeline that reads": func(ctx context.Context, log *backends.Postgres, notes string, p es.Progress) error {
		return log.Store.Pipeline().Deliver(ctx, func(batch *pgx.Batch) error {
			batch.Queue("INSERT INTO "+notes+" VALUES ($1) RETURNING n", 1).QueryRow(func(row pgx.Row) error {
				var n int
				return row.Scan(&n)
			})
			return nil
		}, p)
	},
}

// withNotes returns a log with a table beside it.
func withNotes(t *testing.T, configure ...func(*pgxpool.Config)) (log *backends.Postgres, notes string) {
	t.Helper()
	log = backends.NewPostgres(t, configure...)
	notes = log.Table("notes")
	exec(t, log, "CREATE TABLE "+notes+" (n int CONSTRAINT small CHECK (n < 10))")
	return log, notes
}

func rows(t *testing.T, log *backends.Postgres, table string) (n int) {
	t.Helper()
	if err := log.Pool.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

var modes = map[string]pgx.QueryExecMode{
	"cached statements":   pgx.QueryExecModeCacheStatement,
	"cached descriptions": pgx.QueryExecModeCacheDescribe,
	"described":           pgx.QueryExecModeDescribeExec,
	"exec":                pgx.QueryExecModeExec,
	"the simple protocol": pgx.QueryExecModeSimpleProtocol,
}

func inMode(mode pgx.QueryExecMode) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = mode }
}

// In every way to store progress, and every mode of the driver, stale progress is
// refused and everything that goes with it is undone: the handler's row, and what was
// parked.
func TestStaleProgressUndoesEverything(t *testing.T) {
	t.Parallel()
	for mode, m := range modes {
		for way, save := range saves {
			t.Run(way+", "+mode, func(t *testing.T) {
				t.Parallel()
				log, notes := withNotes(t, inMode(m))
				park := []es.Failure{{Position: 7, Stream: streamA, Version: 3, Error: "broken", Attempts: 2}}
				if err := save(t.Context(), log, notes, es.Progress{Subscription: "s", Checkpoint: `{"n": 1}`, Park: park}); err != nil {
					t.Fatal(err)
				}
				park[0].Position = 8
				for _, revision := range []int64{0, 2, 1 << 40} {
					err := save(t.Context(), log, notes, es.Progress{Subscription: "s", Revision: revision, Checkpoint: `{"n": 2}`, Park: park, Unpark: []int64{7}})
					stale, ok := errors.AsType[*es.StaleCheckpointError](err)
					if !ok || stale.Subscription != "s" || stale.Revision != revision || errors.Is(err, es.ErrOutcomeUnknown) {
						t.Errorf("revision %d: got error %v, want ErrStaleCheckpoint", revision, err)
					}
				}
				cp, revision, err := log.Store.LoadCheckpoint(t.Context(), "s")
				if cp != `{"n": 1}` || revision != 1 || err != nil {
					t.Errorf("loaded %s of revision %d, %v", cp, revision, err)
				}
				parked, err := log.Store.Parked(t.Context(), "s")
				if err != nil || len(parked) != 1 || parked[0].Position != 7 {
					t.Errorf("parked %+v, %v", parked, err)
				}
				if n := rows(t, log, notes); n != 1 {
					t.Errorf("%d rows of the handler, want 1", n)
				}
			})
		}
	}
}

// A pipeline is one transaction in every mode of the driver: a statement that fails, is
// refused by the driver, or has its result refused, undoes those before it.
func TestPipelineIsOneTransaction(t *testing.T) {
	t.Parallel()
	errRefused := errors.New("refused")
	for mode, m := range modes {
		for name, queue := range map[string]func(b *pgx.Batch, notes string){
			"a failing statement":   func(b *pgx.Batch, notes string) { b.Queue("INSERT INTO "+notes+" VALUES ($1)", 10) },
			"an unknown table":      func(b *pgx.Batch, notes string) { b.Queue("INSERT INTO " + notes + "_ VALUES (1)") },
			"an argument of no use": func(b *pgx.Batch, notes string) { b.Queue("INSERT INTO "+notes+" VALUES ($1)", make(chan int)) },
			"a refused result": func(b *pgx.Batch, _ string) {
				b.Queue("SELECT 1").QueryRow(func(pgx.Row) error { return errRefused })
			},
			"a refused command": func(b *pgx.Batch, notes string) {
				b.Queue("DELETE FROM " + notes).Exec(func(pgconn.CommandTag) error { return errRefused })
			},
			"a transaction begun": func(b *pgx.Batch, _ string) { b.Queue("BEGIN") },
		} {
			t.Run(name+", "+mode, func(t *testing.T) {
				t.Parallel()
				log, notes := withNotes(t, inMode(m))
				err := log.Store.Pipeline().Deliver(t.Context(), func(b *pgx.Batch) error {
					b.Queue("INSERT INTO "+notes+" VALUES ($1)", 1)
					queue(b, notes)
					b.Queue("INSERT INTO "+notes+" VALUES ($1)", 2)
					return nil
				}, es.Progress{Subscription: "s", Checkpoint: `{}`})
				if err == nil || strings.Contains(name, "refused") && !errors.Is(err, errRefused) {
					t.Errorf("got error %v", err)
				}
				if pgErr, ok := errors.AsType[*pgconn.PgError](err); name == "a failing statement" && (!ok || pgErr.ConstraintName != "small" || errors.Is(err, es.ErrOutcomeUnknown)) {
					t.Errorf("got error %v, want the constraint's", err)
				}
				if _, revision, err := log.Store.LoadCheckpoint(t.Context(), "s"); revision != 0 || err != nil {
					t.Errorf("progress was stored: revision %d, %v", revision, err)
				}
				if n := rows(t, log, notes); n != 0 {
					t.Errorf("%d rows, want none", n)
				}
			})
		}
	}
}

// What only the commit finds out undoes the progress, too.
func TestFailingCommitUndoesProgress(t *testing.T) {
	t.Parallel()
	for way, save := range saves {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			log, notes := withNotes(t)
			exec(t, log, "ALTER TABLE "+notes+" ADD CONSTRAINT twice UNIQUE (n) DEFERRABLE INITIALLY DEFERRED")
			exec(t, log, "INSERT INTO "+notes+" VALUES (1)")
			err := save(t.Context(), log, notes, es.Progress{Subscription: "s", Checkpoint: `{}`})
			if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.ConstraintName != "twice" || errors.Is(err, es.ErrOutcomeUnknown) {
				t.Errorf("got error %v, want the constraint's", err)
			}
			if _, revision, err := log.Store.LoadCheckpoint(t.Context(), "s"); revision != 0 || err != nil {
				t.Errorf("progress was stored: revision %d, %v", revision, err)
			}
		})
	}
}

func TestErrorOfAHandlerIsReturnedAsItIs(t *testing.T) {
	t.Parallel()
	log, notes := withNotes(t)
	errHandler := errors.New("handler")
	p := es.Progress{Subscription: "s", Checkpoint: `{}`}
	err := log.Store.Deliver(t.Context(), func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "INSERT INTO "+notes+" VALUES (1)"); err != nil {
			return err
		}
		return errHandler
	}, p)
	if err != errHandler { //nolint:errorlint // as it is
		t.Errorf("Deliver: got error %v", err)
	}
	err = log.Store.Pipeline().Deliver(t.Context(), func(b *pgx.Batch) error {
		b.Queue("INSERT INTO " + notes + " VALUES (1)")
		return errHandler
	}, p)
	if err != errHandler { //nolint:errorlint // as it is
		t.Errorf("Pipeline: got error %v", err)
	}
	if n := rows(t, log, notes); n != 0 {
		t.Errorf("%d rows, want none", n)
	}
	if log.Pool.Stat().AcquiredConns() != 0 {
		t.Error("a connection was not given back")
	}
}

// A claim is above every revision that was ever given under the name, whatever became
// of the row or the sequence.
func TestClaimIsAboveEveryRevision(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	claim := func() int64 {
		t.Helper()
		_, revision, err := log.Store.ClaimCheckpoint(t.Context(), "s", "me")
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	save := func(revision int64) {
		t.Helper()
		if err := log.Store.SaveProgress(t.Context(), es.Progress{Subscription: "s", Revision: revision, Checkpoint: `{}`}); err != nil {
			t.Fatal(err)
		}
	}
	save(0)
	highest := int64(1)
	for range 3 {
		if r := claim(); r <= highest {
			t.Errorf("claimed %d after %d", r, highest)
		} else {
			highest = r
		}
		save(highest)
		highest++
	}
	exec(t, log, "DELETE FROM "+log.Table("subscriptions"))
	if r := claim(); r <= highest {
		t.Errorf("claimed %d after %d and the loss of the row", r, highest)
	} else {
		highest = r
	}
	save(highest)
	exec(t, log, "ALTER SEQUENCE "+log.Table("claims")+" RESTART")
	if r := claim(); r <= highest+1 {
		t.Errorf("claimed %d after %d and the loss of the sequence", r, highest)
	}
}

func TestClaimOvertakesTheHolderAndWaitsOnlySoLong(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	_, revision, err := log.Store.ClaimCheckpoint(t.Context(), "s", "one")
	if err != nil {
		t.Fatal(err)
	}
	p := es.Progress{Subscription: "s", Revision: revision, Checkpoint: `{"n": 1}`}
	err = log.Store.InTx(t.Context(), func(tx *postgres.Tx) error {
		if err := tx.SaveProgress(t.Context(), p); err != nil {
			return err
		}
		began := time.Now()
		if _, _, err := log.Store.ClaimCheckpoint(t.Context(), "s", "two"); !errors.Is(err, es.ErrBusy) || time.Since(began) > 5*time.Second {
			t.Errorf("claimed while progress was being stored: %v after %v, want ErrBusy after a second", err, time.Since(began))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	cp, claimed, err := log.Store.ClaimCheckpoint(t.Context(), "s", "two")
	if err != nil || cp != `{"n": 1}` || claimed <= revision+1 {
		t.Errorf("claimed %s of revision %d, %v", cp, claimed, err)
	}
	for range 3 { // also if it believes that it has stored more than it has
		p.Revision++
		if err := log.Store.SaveProgress(t.Context(), p); !errors.Is(err, es.ErrStaleCheckpoint) {
			t.Errorf("the overtaken holder at revision %d: got error %v, want ErrStaleCheckpoint", p.Revision, err)
		}
	}
}

func TestParkAndUnpark(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	var positions []int64
	for range 3 {
		r, err := log.Store.Append(t.Context(), streamA, es.Any, noted())
		if err != nil {
			t.Fatal(err)
		}
		positions = append(positions, r.Position)
	}
	parked := func(want ...es.Parked) {
		t.Helper()
		got, err := log.Store.Parked(t.Context(), "s", "t")
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(es.Parked{}, "ParkedAt"), cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("error %v, parked (-want +got):\n%s", err, diff)
		}
	}
	first := es.Failure{Position: positions[0], Stream: streamA, Version: 1, Error: "no \x00 such \xff thing", Attempts: 3}
	second := es.Failure{Position: positions[1], Stream: streamA, Version: 2}
	err := log.Store.SaveProgress(t.Context(), es.Progress{Subscription: "s", Park: []es.Failure{second, first}})
	if err != nil {
		t.Fatal(err)
	}
	first.Error = "no \uFFFD such \uFFFD thing"
	parked(es.Parked{Subscription: "s", Failure: first}, es.Parked{Subscription: "s", Failure: second})
	if n, err := log.Store.RequestRedrive(t.Context(), es.StreamID{}, "s", "t"); n != 2 || err != nil {
		t.Errorf("asked for %d, %v", n, err)
	}
	if n, err := log.Store.RequestRedrive(t.Context(), streamB, "s"); n != 0 || err != nil {
		t.Errorf("asked for %d of another stream, %v", n, err)
	}
	parked(es.Parked{Subscription: "s", Failure: first, Redrive: true}, es.Parked{Subscription: "s", Failure: second, Redrive: true})
	events, err := log.Store.ReadParked(t.Context(), "s", streamA, 1)
	if err != nil || len(events) != 1 || events[0].Position != positions[0] || events[0].Stream != streamA {
		t.Errorf("read %+v, %v", events, err)
	}
	// It fails again: one more attempt, and it waits for the next request.
	first.Error, first.Attempts = "still", 4
	err = log.Store.SaveProgress(t.Context(), es.Progress{Subscription: "s", Revision: 1, Park: []es.Failure{first}})
	if err != nil {
		t.Fatal(err)
	}
	parked(es.Parked{Subscription: "s", Failure: first}, es.Parked{Subscription: "s", Failure: second, Redrive: true})
	if err := log.Store.Discard(t.Context(), streamA, 3, "ann", "useless", "s"); !errors.Is(err, es.ErrNotParked) {
		t.Errorf("discarded what is not parked: %v", err)
	}
	if err := log.Store.Discard(t.Context(), streamA, 1, "ann", "useless", "s"); err != nil {
		t.Error(err)
	}
	parked(es.Parked{Subscription: "s", Failure: second, Redrive: true})
	discarded, err := log.Store.Discarded(t.Context(), "s", "t")
	want := []es.Discarded{{Subscription: "s", Failure: first, By: "ann", Reason: "useless"}}
	if diff := cmp.Diff(want, discarded, cmpopts.IgnoreFields(es.Discarded{}, "DiscardedAt")); err != nil || diff != "" {
		t.Errorf("error %v, discarded (-want +got):\n%s", err, diff)
	}
	err = log.Store.SaveProgress(t.Context(), es.Progress{Subscription: "s", Revision: 2, Unpark: []int64{positions[1]}})
	if err != nil {
		t.Error(err)
	}
	parked()
}

// A transaction of an overtaken reader that stands still keeps nobody waiting: what it
// has locked is free when its subscription has been claimed.
func TestClaimEndsTheDeliveryOfWhoeverIsOvertaken(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	exec(t, log, "CREATE TABLE "+log.Table("rows")+" (n int PRIMARY KEY)")
	insert := func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "INSERT INTO "+log.Table("rows")+" VALUES (1) ON CONFLICT DO NOTHING")
		return err
	}
	claim := func(name string) int64 {
		t.Helper()
		_, revision, err := log.Store.ClaimCheckpoint(t.Context(), name, "")
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	frozen, thaw, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	revision := claim("s")
	go func() {
		ended <- log.Store.Deliver(context.WithoutCancel(t.Context()), func(tx pgx.Tx) error {
			if err := insert(tx); err != nil {
				return err
			}
			close(frozen)
			<-thaw
			return insert(tx)
		}, es.Progress{Subscription: "s", Revision: revision})
	}()
	<-frozen
	claim("another") // does nothing to it
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := log.Store.Deliver(ctx, insert, es.Progress{Subscription: "s", Revision: claim("s")}); err != nil {
		t.Errorf("whoever has taken over: %v", err)
	}
	close(thaw)
	if err := <-ended; !errors.Is(err, es.ErrInterrupted) {
		t.Errorf("whoever was overtaken: %v, want ErrInterrupted", err)
	}
}
