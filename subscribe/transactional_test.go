package subscribe_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
	"github.com/peatlog/peat/internal/backends"
	"github.com/peatlog/peat/subscribe"
)

// model is a read model with a row per stream, in the store's own transactions of
// kind T.
type model[T any] struct {
	store subscribe.RunnerStore
	log   es.Store
	in    es.Transactor[T]
	table string
	exec  func(ctx context.Context, tx T, sql string, args ...any) error
	rows  func(ctx context.Context, table string) (map[string]int, error)
}

func (m *model[T]) create(ctx context.Context, tx T, table string) error {
	return m.exec(ctx, tx, "CREATE TABLE IF NOT EXISTS "+table+" (stream text PRIMARY KEY, n bigint NOT NULL)")
}

// count adds one to the row of the event's stream. Delivered twice, it shows.
func (m *model[T]) count(ctx context.Context, tx T, table string, e es.Envelope[note]) error {
	return m.exec(ctx, tx, "INSERT INTO "+table+" AS t (stream, n) VALUES ($1, 1) ON CONFLICT (stream) DO UPDATE SET n = t.n + 1", e.Stream.Key)
}

// want waits until the table holds as many events as are wanted, and compares.
func (m *model[T]) want(t *testing.T, table string, want map[string]int) {
	t.Helper()
	total := func(rows map[string]int) (n int) {
		for _, c := range rows {
			n += c
		}
		return n
	}
	var got map[string]int
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		var err error
		if got, err = m.rows(t.Context(), table); err == nil && total(got) >= total(want) {
			break
		}
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", table, diff)
	}
}

// pgTable is a table in the schema of the log.
func postgresModel(t *testing.T) *model[pgx.Tx] {
	log := backends.NewPostgres(t)
	return &model[pgx.Tx]{
		store: log.Store, log: log.Store, in: log.Store, table: log.Table("counts"),
		exec: func(ctx context.Context, tx pgx.Tx, sql string, args ...any) error {
			_, err := tx.Exec(ctx, sql, args...)
			return err
		},
		rows: func(ctx context.Context, table string) (map[string]int, error) {
			rows, err := log.Pool.Query(ctx, "SELECT stream, n FROM "+table)
			if err != nil {
				return nil, err
			}
			counts := map[string]int{}
			var stream string
			var n int
			_, err = pgx.ForEachRow(rows, []any{&stream, &n}, func() error { counts[stream] = n; return nil })
			return counts, err
		},
	}
}

func sqliteModel(t *testing.T) *model[*sql.Tx] {
	log := backends.NewSQLite(t)
	return &model[*sql.Tx]{
		store: log.Store, log: log.Store, in: log.Store, table: "counts",
		exec: func(ctx context.Context, tx *sql.Tx, text string, args ...any) error {
			_, err := tx.ExecContext(ctx, text, args...)
			return err
		},
		rows: func(ctx context.Context, table string) (map[string]int, error) {
			counts := map[string]int{}
			err := log.Store.InTx(ctx, func(tx *sqlite.Tx) error {
				rows, err := tx.SQL().QueryContext(ctx, "SELECT stream, n FROM "+table)
				if err != nil {
					return err
				}
				defer rows.Close() //nolint:errcheck // rows.Err says it
				for rows.Next() {
					var stream string
					var n int
					if err := rows.Scan(&stream, &n); err != nil {
						return err
					}
					counts[stream] = n
				}
				return rows.Err()
			})
			return counts, err
		},
	}
}

// prepare makes the table of the model.
func (m *model[T]) prepare(t *testing.T) *model[T] {
	t.Helper()
	err := m.in.Deliver(t.Context(), func(tx T) error { return m.create(t.Context(), tx, m.table) }, es.Progress{Subscription: "prepare"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// eachModel runs a test in transactions of each store.
func eachModel(t *testing.T, onPostgres func(t *testing.T, m *model[pgx.Tx]), onSQLite func(t *testing.T, m *model[*sql.Tx])) {
	t.Helper()
	t.Run("postgres", func(t *testing.T) { t.Parallel(); onPostgres(t, postgresModel(t).prepare(t)) })
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); onSQLite(t, sqliteModel(t).prepare(t)) })
}

// Rows B46, B48, B92: what a handler that fails has written is undone with the
// progress, and what it is given again is counted once.
func TestTransactionalHandlerCountsOnce(t *testing.T) {
	t.Parallel()
	eachModel(t, countsOnce[pgx.Tx], countsOnce[*sql.Tx])
}

func countsOnce[T any](t *testing.T, m *model[T]) {
	var calls, fails atomic.Int64
	c := consumer("counts", subscribe.Transactional(m.in, subscribe.EachIn(notes, func(ctx context.Context, tx T, e es.Envelope[note]) error {
		calls.Add(1)
		if err := m.count(ctx, tx, m.table, e); err != nil {
			return err
		}
		if number(e)%5 == 4 && fails.Add(1)%2 == 1 { // the first time
			return errors.New("later")
		}
		return nil
	})))
	write(t, m.log, "a", 1, 2, 3, 4, 5, 6)
	write(t, m.log, "b", 8, 9)
	r := newRunner(t, m.store, c)
	start(t, r)
	m.want(t, m.table, map[string]int{"a": 6, "b": 2})
	last := write(t, m.log, "b", 14)
	if err := r.WaitFor(t.Context(), "counts", last); err != nil {
		t.Error(err)
	}
	m.want(t, m.table, map[string]int{"a": 6, "b": 3})
	if calls.Load() <= 9 || fails.Load() < 6 {
		t.Errorf("%d calls, %d at events that fail once", calls.Load(), fails.Load())
	}
}

// A poisoned event parks its stream, and the rest of the batch takes effect once.
func TestTransactionalHandlerParks(t *testing.T) {
	t.Parallel()
	eachModel(t, parksInTransaction[pgx.Tx], parksInTransaction[*sql.Tx])
}

func parksInTransaction[T any](t *testing.T, m *model[T]) {
	var mended atomic.Bool
	c := consumer("counts", subscribe.Transactional(m.in, subscribe.EachIn(notes, func(ctx context.Context, tx T, e es.Envelope[note]) error {
		if err := m.count(ctx, tx, m.table, e); err != nil {
			return err
		}
		if number(e) == 3 && !mended.Load() {
			return errors.New("poison")
		}
		return nil
	})))
	c.OnFailure = subscribe.Park
	write(t, m.log, "a", 1, 2, 3, 4)
	write(t, m.log, "b", 5, 6)
	write(t, m.log, "a", 7)
	r := newRunner(t, m.store, c)
	start(t, r)
	m.want(t, m.table, map[string]int{"a": 2, "b": 2})
	eventually(t, "parked", func() bool { p, err := r.Parked(t.Context(), "counts"); return err == nil && len(p) == 3 })
	mended.Store(true)
	if n, err := r.Redrive(t.Context(), "counts", es.StreamID{}); n != 3 || err != nil {
		t.Errorf("redrive: %d, %v", n, err)
	}
	m.want(t, m.table, map[string]int{"a": 5, "b": 2})
	if p, err := r.Parked(t.Context(), "counts"); len(p) != 0 || err != nil {
		t.Errorf("still parked: %+v, %v", p, err)
	}
}

// A redrive that is broken off goes on where it was: each event counts once, and in
// order.
func TestRedriveSurvivesAStopInTheMiddle(t *testing.T) {
	t.Parallel()
	eachModel(t, redriveInPieces[pgx.Tx], redriveInPieces[*sql.Tx])
}

func redriveInPieces[T any](t *testing.T, m *model[T]) {
	var mu sync.Mutex
	var order []int
	fails, hangs := true, true
	hung := make(chan struct{})
	c := consumer("counts", subscribe.Transactional(m.in, subscribe.EachIn(notes, func(ctx context.Context, tx T, e es.Envelope[note]) error {
		mu.Lock()
		failing, hanging := fails && number(e) == 3, hangs && number(e) == 4
		mu.Unlock()
		if failing {
			return errors.New("poison")
		}
		if hanging {
			close(hung)
			<-ctx.Done() // the runner stops in the middle
			return ctx.Err()
		}
		mu.Lock()
		order = append(order, number(e))
		mu.Unlock()
		return m.count(ctx, tx, m.table, e)
	})))
	c.OnFailure = subscribe.Park
	write(t, m.log, "a", 1, 2, 3, 4, 5)
	r := newRunner(t, m.store, c)
	stop := start(t, r)
	eventually(t, "parked", func() bool { p, err := r.Parked(t.Context(), "counts"); return err == nil && len(p) == 3 })
	mu.Lock()
	fails = false
	mu.Unlock()
	if _, err := r.Redrive(t.Context(), "counts", noteStream("a")); err != nil {
		t.Fatal(err)
	}
	<-hung
	stop()
	mu.Lock()
	hangs = false
	mu.Unlock()
	write(t, m.log, "a", 6)
	start(t, r)
	m.want(t, m.table, map[string]int{"a": 6})
	mu.Lock()
	defer mu.Unlock()
	// The first transaction, with 3 in it, was undone.
	if diff := gocmp.Diff([]int{1, 2, 1, 2, 3, 4, 5, 6}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// The new generation is built beside the live one under writers, takes over with the
// same content, and its readers never see less than before.
func TestRebuildUnderLoad(t *testing.T) {
	t.Parallel()
	eachModel(t, rebuildUnderLoad[pgx.Tx], rebuildUnderLoad[*sql.Tx])
}

func rebuildUnderLoad[T any](t *testing.T, m *model[T]) {
	generation := func(n int) string {
		return strings.TrimSuffix(m.table, `"`) + fmt.Sprintf("_g%d", n) + m.table[len(strings.TrimSuffix(m.table, `"`)):]
	}
	var live atomic.Int64
	live.Store(1)
	c := consumer("counts", subscribe.Transactional(m.in,
		subscribe.EachIn(notes, func(ctx context.Context, tx T, e es.Envelope[note]) error {
			return m.count(ctx, tx, generation(subscribe.Generation(ctx)), e)
		}),
		subscribe.OnRebuild(func(ctx context.Context, tx T, n int) error {
			return m.create(ctx, tx, generation(n))
		}, func(_ context.Context, _ T, from, to int) error {
			if from != 1 || to != 2 {
				t.Errorf("generation %d takes over from %d", to, from)
			}
			live.Store(int64(to))
			return nil
		})))
	err := m.in.Deliver(t.Context(), func(tx T) error { return m.create(t.Context(), tx, generation(1)) }, es.Progress{Subscription: "prepare 1"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{}
	for s := range 5 {
		for n := range 20 {
			write(t, m.log, strconv.Itoa(s), n)
			want[strconv.Itoa(s)]++
		}
	}
	r := newRunner(t, m.store, c)
	start(t, r)
	m.want(t, generation(1), want)
	if n, err := r.Rebuild(t.Context(), "counts", subscribe.RebuildOptions{Segments: 2}); n != 2 || err != nil {
		t.Fatalf("rebuild: generation %d, %v", n, err)
	}
	if _, err := r.Rebuild(t.Context(), "counts", subscribe.RebuildOptions{}); !errors.Is(err, es.ErrRebuilding) {
		t.Errorf("rebuild again: %v, want ErrRebuilding", err)
	}
	seen := map[string]int{}
	for n := 0; live.Load() == 1 || n < 20; n++ {
		if n > 5000 {
			t.Fatal("the new generation does not take over")
		}
		key := strconv.Itoa(n % 5)
		write(t, m.log, key, n)
		want[key]++
		rows, err := m.rows(t.Context(), generation(int(live.Load())))
		if err != nil {
			t.Fatal(err)
		}
		for stream, count := range seen {
			if rows[stream] < count {
				t.Fatalf("readers saw %d events of stream %s, and now %d", count, stream, rows[stream])
			}
		}
		seen = rows
	}
	m.want(t, generation(2), want)
	// What OnRebuild was told comes true with the end of its transaction.
	eventually(t, "live", func() bool {
		status, err := r.Status(t.Context())
		return err == nil && status[0].Live == 2 && status[0].Building == 0 && len(status[0].Readers) == 2
	})
	// The old generation stands still.
	old, err := m.rows(t.Context(), generation(1))
	last := write(t, m.log, "0", 1)
	if err := errors.Join(err, r.WaitFor(t.Context(), "counts", last)); err != nil {
		t.Error(err)
	}
	if after, err := m.rows(t.Context(), generation(1)); err != nil || !gocmp.Equal(old, after) {
		t.Errorf("the old generation goes on: %v, %v, %v", old, after, err)
	}
}

// Without OnRebuild there is no place for a second generation; one can be given up.
func TestRebuildIsRefusedAndCancelled(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, _ es.Store) {
		var got record
		plain := newRunner(t, store, consumer("plain", subscribe.AtLeastOnce(subscribe.Each(notes, &got))))
		if _, err := plain.Rebuild(t.Context(), "plain", subscribe.RebuildOptions{}); err == nil || !strings.Contains(err.Error(), "OnRebuild") {
			t.Errorf("rebuild: %v, want an error that names OnRebuild", err)
		}
		if err := plain.CancelRebuild(t.Context(), "plain"); !errors.Is(err, es.ErrNotRebuilding) {
			t.Errorf("cancel: %v, want ErrNotRebuilding", err)
		}
		able := newRunner(t, store, consumer("able", subscribe.AtLeastOnce(subscribe.Each(notes, &got), subscribe.OnRebuild[subscribe.None](nil, nil))))
		for want := 2; want <= 3; want++ {
			if n, err := able.Rebuild(t.Context(), "able", subscribe.RebuildOptions{}); n != want || err != nil {
				t.Errorf("rebuild: generation %d, %v; want %d", n, err, want)
			}
			if err := able.CancelRebuild(t.Context(), "able"); err != nil {
				t.Error(err)
			}
		}
	})
}
