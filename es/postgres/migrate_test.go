package postgres_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
	"github.com/peatlog/peat/internal/pgtest"
)

func TestOpenRefusesASchemaThatIsNotMigrated(t *testing.T) {
	t.Parallel()
	_, err := postgres.Open(t.Context(), pgtest.NewPool(t), postgres.Options{Schema: pgtest.NewSchema(t)})
	if !errors.Is(err, postgres.ErrNotMigrated) || !strings.Contains(err.Error(), "postgres.Migrate") {
		t.Errorf("got error %v, want ErrNotMigrated that names the remedy", err)
	}
}

func TestMigrateAtOnceByManyMigratesOnce(t *testing.T) {
	t.Parallel()
	pool, opts := pgtest.NewPool(t), postgres.Options{Schema: pgtest.NewSchema(t)}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := postgres.Migrate(t.Context(), pool, opts); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if _, err := postgres.Open(t.Context(), pool, opts); err != nil {
		t.Error(err)
	}
}

func TestSchemaOfAnotherProgramIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change string
		want   error
	}{
		"newer":  {"INSERT INTO {migrations} (version, name, checksum) VALUES (9999, '9999_future', 'x')", postgres.ErrSchemaNewer},
		"edited": {"UPDATE {migrations} SET checksum = 'x' WHERE version = 1", postgres.ErrMigrationEdited},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := backends.NewPostgres(t)
			exec(t, log, strings.ReplaceAll(c.change, "{migrations}", log.Table("migrations")))
			if err := postgres.Migrate(t.Context(), log.Pool, log.Options); !errors.Is(err, c.want) {
				t.Errorf("Migrate: got error %v, want %v", err, c.want)
			}
			if _, err := postgres.Open(t.Context(), log.Pool, log.Options); !errors.Is(err, c.want) {
				t.Errorf("Open: got error %v, want %v", err, c.want)
			}
		})
	}
}

// A cached range of positions would let a later append take an earlier position.
func TestOpenRefusesACachedPositionSequence(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	exec(t, log, "ALTER TABLE "+log.Table("events")+" ALTER global_position SET CACHE 10")
	if _, err := postgres.Open(t.Context(), log.Pool, log.Options); err == nil || !strings.Contains(err.Error(), "CACHE 10") {
		t.Errorf("got error %v, want one that names CACHE 10", err)
	}
}

func TestMigrateGivesUpWaitingForAnother(t *testing.T) {
	t.Parallel()
	pool, schema := pgtest.NewPool(t), pgtest.NewSchema(t)
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock(hashtextextended('peat migrations of ' || $1, 0))", schema); err != nil {
			return err
		}
		err := postgres.Migrate(t.Context(), pool, postgres.Options{Schema: schema, LockTimeout: 50 * time.Millisecond})
		if !errors.Is(err, es.ErrBusy) {
			t.Errorf("got error %v, want ErrBusy", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Cost P16: a migrated schema is only read, so an open transaction does not
// delay the start of a process.
func TestMigrateOfAMigratedSchemaTakesNoLock(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	err := pgx.BeginFunc(t.Context(), log.Pool, func(tx pgx.Tx) error {
		lock := "LOCK TABLE " + log.Table("events") + ", " + log.Table("streams") + ", " + log.Table("migrations") + " IN SHARE ROW EXCLUSIVE MODE"
		if _, err := tx.Exec(t.Context(), lock); err != nil {
			return err
		}
		opts := log.Options
		opts.LockTimeout = 50 * time.Millisecond
		return postgres.Migrate(t.Context(), log.Pool, opts)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestOptionsReportAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := postgres.Open(t.Context(), nil, postgres.Options{Schema: strings.Repeat("s", 64), MaxEventBytes: -1, LockTimeout: -1})
	for _, want := range []string{"MaxEventBytes", "LockTimeout", "longer than 63 bytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %q in it", err, want)
		}
	}
}

func exec(t *testing.T, log *backends.Postgres, sql string, args ...any) {
	t.Helper()
	if _, err := log.Pool.Exec(context.WithoutCancel(t.Context()), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
