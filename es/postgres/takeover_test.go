package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
)

// reader follows the log under a name and stores its progress, as a subscription does.
type reader struct {
	store    *postgres.Store
	name     string
	cp       es.Checkpoint
	revision int64
	opts     es.FeedOptions
}

func claim(t *testing.T, s *postgres.Store, name string) *reader {
	t.Helper()
	cp, revision, err := s.ClaimCheckpoint(t.Context(), name, "test")
	if err != nil {
		t.Fatal(err)
	}
	return &reader{store: s, name: name, cp: cp, revision: revision, opts: es.FeedOptions{MaxEvents: 7}}
}

// step delivers one batch by handle, and tells whether it moved.
func (r *reader) step(ctx context.Context, handle func(tx pgx.Tx, events []es.Recorded) error) (bool, error) {
	b, err := r.store.Feed(ctx, r.cp, r.opts)
	if err != nil || !b.Moved {
		return false, err
	}
	err = r.store.Deliver(ctx, func(tx pgx.Tx) error { return handle(tx, b.Events) },
		es.Progress{Subscription: r.name, Revision: r.revision, Checkpoint: b.Next})
	if err != nil {
		return false, err
	}
	r.cp, r.revision = b.Next, r.revision+1
	return true, nil
}

func nothing(pgx.Tx, []es.Recorded) error { return nil }

func (r *reader) all(t *testing.T) {
	t.Helper()
	for moved := true; moved; {
		var err error
		if moved, err = r.step(t.Context(), nothing); err != nil {
			t.Fatal(err)
		}
	}
}

func rebuild(t *testing.T, s *postgres.Store, keep bool) es.TakeOver {
	t.Helper()
	if _, err := s.Generations(t.Context(), "p", 1); err != nil {
		t.Fatal(err)
	}
	g, err := s.BeginRebuild(t.Context(), "p", 2, keep)
	if err != nil {
		t.Fatal(err)
	}
	return es.TakeOver{Name: "p", To: g.Building, Live: []string{"live"}, Next: []string{"next"}}
}

func appendSome(t *testing.T, s es.Appender, n int) {
	t.Helper()
	for range n {
		if _, err := s.Append(t.Context(), streamA, es.Any, noted()); err != nil {
			t.Fatal(err)
		}
	}
}

// Under writers and a live reader, the new generation takes over at a moment when it
// has all that the live one has, in the very transaction; the old one cannot go on.
func TestTakeOverUnderALiveWriter(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	sums := log.Table("sums")
	exec(t, log, "CREATE TABLE "+sums+" (reader text, position bigint, PRIMARY KEY (reader, position))")
	insert := func(name string) func(tx pgx.Tx, events []es.Recorded) error {
		return func(tx pgx.Tx, events []es.Recorded) error {
			for _, e := range events {
				if _, err := tx.Exec(t.Context(), "INSERT INTO "+sums+" VALUES ($1, $2)", name, e.Position); err != nil {
					return err
				}
			}
			return nil
		}
	}
	appendSome(t, log.Store, 30)
	takeOver := rebuild(t, log.Store, false)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for w := range 3 {
		all.Go(func() {
			for ctx.Err() == nil {
				if _, err := log.Store.Append(t.Context(), es.StreamID{Category: "w", Key: strconv.Itoa(w)}, es.Any, noted()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var stale atomic.Bool
	for name, r := range map[string]*reader{"live": claim(t, log.Store, "live"), "next": claim(t, log.Store, "next")} {
		all.Go(func() {
			for ctx.Err() == nil {
				if _, err := r.step(t.Context(), insert(name)); errors.Is(err, es.ErrStaleCheckpoint) && name == "live" {
					stale.Store(true)
					return
				} else if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	missing := -1
	for deadline := time.Now().Add(30 * time.Second); ; {
		ok, err := log.Store.TakeOver(t.Context(), takeOver, func(tx pgx.Tx) error {
			return tx.QueryRow(t.Context(), "SELECT count(*) FROM (SELECT position FROM "+sums+" WHERE reader = 'live' EXCEPT SELECT position FROM "+sums+" WHERE reader = 'next') m").Scan(&missing)
		})
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the new generation does not come as far as the live one")
		}
	}
	if missing != 0 {
		t.Errorf("the new generation lacks %d events of the live one", missing)
	}
	for deadline := time.Now().Add(10 * time.Second); !stale.Load() && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	stop()
	all.Wait()
	if !stale.Load() {
		t.Error("the old generation goes on")
	}
	g, err := log.Store.Generations(t.Context(), "p", 1)
	want := es.Generations{Live: 2, Segments: 2}
	if diff := cmp.Diff(want, g, cmpopts.IgnoreFields(g, "Since")); err != nil || diff != "" {
		t.Errorf("error %v, generations (-want +got):\n%s", err, diff)
	}
	if cp, revision, err := log.Store.LoadCheckpoint(t.Context(), "live"); cp != "" || revision != 0 || err != nil {
		t.Errorf("the old generation is still there: %s of revision %d, %v", cp, revision, err)
	}
}

func TestTakeOverWaitsUntilTheNextHasComeAsFar(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	takeOver := rebuild(t, log.Store, true)
	live, next := claim(t, log.Store, "live"), claim(t, log.Store, "next")
	appendSome(t, log.Store, 10)
	live.all(t)
	if _, err := next.step(t.Context(), nothing); err != nil { // 7 of 10
		t.Fatal(err)
	}
	ran := false
	ok, err := log.Store.TakeOver(t.Context(), takeOver, func(pgx.Tx) error { ran = true; return nil })
	if ok || err != nil || ran {
		t.Errorf("taken over too early: %v, %v, ran %v", ok, err, ran)
	}
	taken := make(chan error, 1)
	go func() {
		ok, err := log.Store.TakeOver(t.Context(), takeOver, nil)
		if !ok && err == nil {
			err = errors.New("not taken over")
		}
		taken <- err
	}()
	next.all(t)
	if err := <-taken; err != nil {
		t.Error(err)
	}
	// The old one is kept, and fenced.
	cp, revision, err := log.Store.LoadCheckpoint(t.Context(), "live")
	if cp == "" || revision <= live.revision || err != nil {
		t.Errorf("the old generation, which was to be kept: %s of revision %d, %v", cp, revision, err)
	}
	if _, err := log.Store.TakeOver(t.Context(), takeOver, nil); !errors.Is(err, es.ErrNotRebuilding) {
		t.Errorf("taken over twice: %v", err)
	}
}

// From when the generations are compared until the commit, the live one's next save
// waits, and then it is refused.
func TestTakeOverStopsTheLiveGeneration(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	takeOver := rebuild(t, log.Store, true)
	live := claim(t, log.Store, "live")
	saved := make(chan error, 1)
	ok, err := log.Store.TakeOver(t.Context(), takeOver, func(tx pgx.Tx) error {
		var holder int
		if err := tx.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&holder); err != nil {
			return err
		}
		go func() {
			saved <- log.Store.SaveProgress(context.WithoutCancel(t.Context()), es.Progress{Subscription: "live", Revision: live.revision})
		}()
		for waiting := 0; waiting == 0; {
			select {
			case err := <-saved:
				return fmt.Errorf("the live generation has not waited: %v", err) //nolint:errorlint // it may be nil
			default:
			}
			err := log.Pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))", holder).Scan(&waiting)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if !ok || err != nil {
		t.Fatalf("%v, %v", ok, err)
	}
	if err := <-saved; !errors.Is(err, es.ErrStaleCheckpoint) {
		t.Errorf("got error %v, want ErrStaleCheckpoint", err)
	}
}

// Transactions that append nothing come between the moments of two readers that have
// read the same.
func TestTakeOverIsNotHeldUpByTransactionsWithoutEvents(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	takeOver := rebuild(t, log.Store, false)
	live, next := claim(t, log.Store, "live"), claim(t, log.Store, "next")
	appendSome(t, log.Store, 3)
	next.all(t)
	exec(t, log, "CREATE TABLE "+log.Table("noise")+" ()")
	live.all(t)
	if ok, err := log.Store.TakeOver(t.Context(), takeOver, nil); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestTakeOverIsUndoneWithItsFunction(t *testing.T) {
	t.Parallel()
	log, notes := withNotes(t)
	takeOver := rebuild(t, log.Store, false)
	live := claim(t, log.Store, "live")
	errRefused := errors.New("refused")
	ok, err := log.Store.TakeOver(t.Context(), takeOver, func(tx pgx.Tx) error {
		var timeout string
		if err := tx.QueryRow(t.Context(), "SHOW lock_timeout").Scan(&timeout); err != nil || timeout != "0" {
			t.Errorf("the function's locks are bounded by %s, %v", timeout, err)
		}
		return errRefused
	})
	if ok || err != errRefused { //nolint:errorlint // as it is
		t.Errorf("%v, %v", ok, err)
	}
	ok, err = log.Store.Pipeline().TakeOver(t.Context(), takeOver, func(b *pgx.Batch) error {
		b.Queue("INSERT INTO " + notes + " VALUES (1)")
		b.Queue("INSERT INTO " + notes + " VALUES (10)")
		return nil
	})
	if ok || err == nil || rows(t, log, notes) != 0 {
		t.Errorf("%v, %v, %d rows", ok, err, rows(t, log, notes))
	}
	if err := log.Store.SaveProgress(t.Context(), es.Progress{Subscription: "live", Revision: live.revision}); err != nil {
		t.Errorf("the live generation was fenced: %v", err)
	}
	ok, err = log.Store.Pipeline().TakeOver(t.Context(), takeOver, func(b *pgx.Batch) error {
		b.Queue("INSERT INTO "+notes+" VALUES ($1)", 1)
		return nil
	})
	if !ok || err != nil || rows(t, log, notes) != 1 {
		t.Errorf("%v, %v, %d rows", ok, err, rows(t, log, notes))
	}
}

func TestGenerationsAreNumberedOnce(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	s := log.Store
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if g, err := s.Generations(t.Context(), "p", 3); err != nil || g.Live != 1 || g.Segments != 3 || g.Building != 0 || g.Since.IsZero() {
				t.Errorf("%+v, %v", g, err)
			}
		})
	}
	all.Wait()
	begin := func(want int) es.TakeOver {
		t.Helper()
		g, err := s.BeginRebuild(t.Context(), "p", 2, true)
		if err != nil || g.Building != want || g.BuildingSegments != 2 || !g.Keep {
			t.Errorf("%+v, %v; want generation %d building", g, err, want)
		}
		return es.TakeOver{Name: "p", To: g.Building, Next: []string{"next"}}
	}
	takeOver := begin(2)
	if _, err := s.BeginRebuild(t.Context(), "p", 2, true); !errors.Is(err, es.ErrRebuilding) {
		t.Errorf("begun twice: %v", err)
	}
	next := claim(t, s, "next")
	park := []es.Failure{{Position: 1, Stream: streamA, Version: 1, Attempts: 1}}
	if err := s.SaveProgress(t.Context(), es.Progress{Subscription: "next", Revision: next.revision, Park: park}); err != nil {
		t.Fatal(err)
	}
	if err := s.CancelRebuild(t.Context(), es.TakeOver{Name: "p", To: 1, Next: []string{"next"}}); !errors.Is(err, es.ErrNotRebuilding) {
		t.Errorf("canceled another one: %v", err)
	}
	if err := s.CancelRebuild(t.Context(), takeOver); err != nil {
		t.Error(err)
	}
	if parked, err := s.Parked(t.Context(), "next"); len(parked) > 0 || err != nil {
		t.Errorf("parked by what was given up: %+v, %v", parked, err)
	}
	if err := s.SaveProgress(t.Context(), es.Progress{Subscription: "next", Revision: next.revision + 1}); !errors.Is(err, es.ErrStaleCheckpoint) {
		t.Errorf("what was given up goes on: %v", err)
	}
	begin(3)
}
