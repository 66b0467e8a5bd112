package postgres_test

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
)

func TestLagCountsWhatIsBehindACheckpoint(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	lag := func(cp es.Checkpoint, opts es.FeedOptions, events int) es.Lag {
		t.Helper()
		got, err := log.Store.Lag(t.Context(), cp, opts)
		if err != nil || got.Events != events || got.More || (got.Age > 0) != (events > 0) || got.Age > time.Minute {
			t.Errorf("%+v, %v; want %d events", got, err, events)
		}
		return got
	}
	if l := lag("", es.FeedOptions{}, 0); l.Done != 1 {
		t.Errorf("an empty log: %+v", l)
	}
	for i := range 10 {
		if _, err := log.Store.Append(t.Context(), es.StreamID{Category: []string{"x", "y"}[i%2], Key: strconv.Itoa(i)}, es.Any, noted()); err != nil {
			t.Fatal(err)
		}
	}
	for _, horizon := range []es.Horizon{es.Committed, es.Settled} {
		opts := es.FeedOptions{Horizon: horizon}
		if l := lag("", opts, 10); l.Done != 0 {
			t.Errorf("nothing is done: %+v", l)
		}
		four := opts
		four.MaxEvents = 4
		var b es.Batch
		for deadline := time.Now().Add(20 * time.Second); len(b.Events) < 4; { // Settled waits for other tests
			var err error
			if b, err = log.Store.Feed(t.Context(), "", four); err != nil || time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		if l := lag(b.Next, opts, 6); l.Done < 0.3 || l.Done > 0.5 {
			t.Errorf("4 of 10 are done: %+v", l)
		}
		opts.Filter.Categories = []string{"y"}
		lag(b.Next, opts, 3)
		opts.Filter.Categories = nil
		cp := b.Next
		for n, deadline := 4, time.Now().Add(20*time.Second); n < 10 && time.Now().Before(deadline); {
			var events []es.Recorded
			events, cp = feedAll(t, log.Store, cp, opts)
			n += len(events)
		}
		if l := lag(cp, opts, 0); l.Done != 1 {
			t.Errorf("all is done: %+v", l)
		}
	}
	if _, err := log.Store.Lag(t.Context(), "x", es.FeedOptions{}); !errors.Is(err, es.ErrCheckpoint) {
		t.Errorf("got error %v, want ErrCheckpoint", err)
	}
}

// What an older transaction holds back is behind, too.
func TestLagOfASettledReaderThatIsHeldBack(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	err := log.Store.InTx(t.Context(), func(tx *postgres.Tx) error {
		if _, err := tx.LockStream(t.Context(), streamB); err != nil { // takes an id
			return err
		}
		appendSome(t, log.Store, 3)
		opts := es.FeedOptions{Horizon: es.Settled}
		events, cp := feedAll(t, log.Store, "", opts)
		lag, err := log.Store.Lag(t.Context(), cp, opts)
		if lag.Events != 3 || len(events) > 0 {
			t.Errorf("%d events delivered, %+v; want all 3 behind", len(events), lag)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The rest of an open window and what came after its end both count, also what was in
// flight at one of the moments.
func TestLagCountsAcrossWindows(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	appendSome(t, log.Store, 5)
	var b es.Batch
	err := log.Store.InTx(t.Context(), func(tx *postgres.Tx) error {
		if _, err := tx.Append(t.Context(), streamB, es.Any, noted(), noted()); err != nil {
			return err
		}
		appendSome(t, log.Store, 1)
		var err error
		b, err = log.Store.Feed(t.Context(), "", es.FeedOptions{MaxEvents: 2})
		if err != nil {
			return err
		}
		lag, err := log.Store.Lag(t.Context(), b.Next, es.FeedOptions{})
		if lag.Events != 4 {
			t.Errorf("%+v, want 4 events", lag)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	appendSome(t, log.Store, 1)
	if lag, err := log.Store.Lag(t.Context(), b.Next, es.FeedOptions{}); err != nil || lag.Events != 7 {
		t.Errorf("%+v, %v; want 7 events", lag, err)
	}
}

func TestLagCountsUpToALimit(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	log.Damaged()
	exec(t, log, "INSERT INTO "+log.Table("events")+` (stream_no, stream_version, transaction_id, event_id, stream_id, category, event_type, data)
		SELECT 1, n, '3', gen_random_uuid(), 'c-1', 'c', 't', '{}' FROM generate_series(1, 100001) n`)
	lag, err := log.Store.Lag(t.Context(), "", es.FeedOptions{})
	if err != nil || lag.Events != 100_000 || !lag.More {
		t.Errorf("%+v, %v", lag, err)
	}
	exec(t, log, "DELETE FROM "+log.Table("events")+" WHERE stream_version = 1")
	if lag, err := log.Store.Lag(t.Context(), "", es.FeedOptions{}); err != nil || lag.Events != 100_000 || lag.More {
		t.Errorf("%+v, %v", lag, err)
	}
}

// Delivered agrees with what the feed has delivered to the segment that an event
// belongs to, event by event, and also for one that was in flight when later ones
// were delivered.
func TestDeliveredAgreesWithTheFeed(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	segments := []string{"s/1", "s/2", "s/3"}
	delivered := func(position int64, want bool) {
		t.Helper()
		if got, err := log.Store.Delivered(t.Context(), position, segments); err != nil || got != want {
			t.Errorf("position %d delivered: %v, %v; want %v", position, got, err, want)
		}
	}
	var positions []int64
	for i := range 9 {
		r, err := log.Store.Append(t.Context(), es.StreamID{Category: "x", Key: strconv.Itoa(i % 5)}, es.Any, noted())
		if err != nil {
			t.Fatal(err)
		}
		positions = append(positions, r.Position)
	}
	has := map[int64]bool{}
	readers := make([]*reader, len(segments))
	for i, name := range segments {
		readers[i] = claim(t, log.Store, name)
		readers[i].opts = es.FeedOptions{MaxEvents: 1, Filter: es.Filter{Segment: i, Segments: len(segments)}}
	}
	for range 5 {
		for _, r := range readers {
			for _, p := range positions {
				delivered(p, has[p])
			}
			b, err := log.Store.Feed(t.Context(), r.cp, r.opts)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.step(t.Context(), nothing); err != nil {
				t.Fatal(err)
			}
			for _, e := range b.Events {
				has[e.Position] = true
			}
		}
	}
	if len(has) != len(positions) {
		t.Errorf("%d of %d were delivered", len(has), len(positions))
	}
	if _, err := log.Store.Delivered(t.Context(), 1<<40, segments); err == nil {
		t.Error("a position without an event is delivered")
	}
	if _, err := log.Store.Delivered(t.Context(), positions[0], nil); err == nil {
		t.Error("delivered to nobody")
	}
}

func TestDeliveredOfAStraggler(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	r := claim(t, log.Store, "s")
	var late es.AppendResult
	err := log.Store.InTx(t.Context(), func(tx *postgres.Tx) (err error) {
		if late, err = tx.Append(t.Context(), streamB, es.Any, noted()); err != nil {
			return err
		}
		appendSome(t, log.Store, 1)
		r.all(t)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{false, true} {
		if got, err := log.Store.Delivered(t.Context(), late.Position, []string{"s"}); err != nil || got != want {
			t.Errorf("delivered: %v, %v; want %v", got, err, want)
		}
		r.all(t)
	}
}

// Moved tells whether it is worth storing the checkpoint: after events, delivered or
// skipped, and not when only time has passed.
func TestMoved(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	cp := es.Checkpoint("")
	feed := func(opts es.FeedOptions, events int, moved bool) {
		t.Helper()
		b, err := log.Store.Feed(t.Context(), cp, opts)
		if err != nil || len(b.Events) != events || b.Moved != moved {
			t.Errorf("%d events, moved %v, %v; want %d, %v", len(b.Events), b.Moved, err, events, moved)
		}
		cp = b.Next
	}
	feed(es.FeedOptions{}, 0, false)
	appendSome(t, log.Store, 2)
	feed(es.FeedOptions{MaxEvents: 1}, 1, true)
	feed(es.FeedOptions{}, 1, true)
	for i := range 3 {
		exec(t, log, fmt.Sprintf("CREATE TABLE %s_%d ()", "\""+log.Options.Schema+"\".noise", i)) // a transaction of somebody else
		feed(es.FeedOptions{}, 0, false)
	}
	appendSome(t, log.Store, 1)
	feed(es.FeedOptions{Filter: es.Filter{Types: []string{"another"}}}, 0, true)
	feed(es.FeedOptions{}, 0, false)
}

// A straggler that the filter skips moves the feed as well: others may wait for it.
// Transactions that have ended without appending do not.
func TestSkippedStragglersMoveTheFeed(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	opts := es.FeedOptions{Filter: es.Filter{Categories: []string{"another"}}}
	late, err := log.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Rollback(t.Context()) //nolint:errcheck // without effect after the commit
	appended, err := log.Store.Join(late).Append(t.Context(), streamA, es.NoStream, noted())
	if err != nil {
		t.Fatal(err)
	}
	idle, err := log.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Rollback(t.Context()) //nolint:errcheck // twice is fine
	if _, err := idle.Exec(t.Context(), "SELECT pg_current_xact_id()"); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Store.Append(t.Context(), streamB, es.NoStream, noted()); err != nil {
		t.Fatal(err)
	}
	var at es.Checkpoint
	poll := func(moved bool) {
		t.Helper()
		b, err := log.Store.Feed(t.Context(), at, opts)
		if err != nil || len(b.Events) > 0 || b.Moved != moved {
			t.Errorf("%d events, moved %v, %v; want moved %v", len(b.Events), b.Moved, err, moved)
		}
		at = b.Next
	}
	poll(true) // over what B has
	if err := idle.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	poll(false)
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	poll(true)
	poll(false)
	if err := log.Store.SaveProgress(t.Context(), es.Progress{Subscription: "s", Checkpoint: at}); err != nil {
		t.Fatal(err)
	}
	if done, err := log.Store.Delivered(t.Context(), appended.Position, []string{"s"}); !done || err != nil {
		t.Errorf("behind the checkpoint: %v, %v", done, err)
	}
}
