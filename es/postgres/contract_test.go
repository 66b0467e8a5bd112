package postgres_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
)

// Row B34: who waits for a lock longer than it has allowed for is told that it may try again.
func TestLockTimeoutIsReportedAsBusy(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	if _, err := log.Store.Append(t.Context(), streamB, es.NoStream, noted()); err != nil {
		t.Fatal(err)
	}
	for _, stream := range []es.StreamID{streamA, streamB} { // a new stream, and one with events
		err := log.Store.InTx(t.Context(), func(holder *postgres.Tx) error {
			if _, err := holder.LockStream(t.Context(), stream); err != nil {
				return err
			}
			return log.Store.InTx(t.Context(), func(waiter *postgres.Tx) error {
				if _, err := waiter.SQL().Exec(t.Context(), "SET LOCAL lock_timeout = '300ms'"); err != nil {
					t.Fatal(err)
				}
				_, err := waiter.LockStream(t.Context(), stream)
				return err
			})
		})
		if !errors.Is(err, es.ErrBusy) {
			t.Errorf("%s: got error %v, want ErrBusy", stream, err)
		}
	}
}

// Cost P15: every index costs every append. Which ones there are is decided here, each
// with the statements that need it.
func TestIndexesAreThese(t *testing.T) {
	t.Parallel()
	log := backends.NewPostgres(t)
	rows, err := log.Pool.Query(t.Context(), `
		SELECT indexname FROM pg_indexes WHERE schemaname = $1 AND tablename IN ('streams', 'events') ORDER BY 1`, log.Options.Schema)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"events_category_position_idx", // reads and feeds of a category
		"events_event_id_key",          // repeated appends and commands, however old
		"events_held_until_idx",        // settled feeds; partial, of the few inverted events
		"events_pkey",                  // reads of the log, feeds
		"events_stream_version_key",    // reads of a stream, expected versions
		"events_transaction_id_idx",    // stragglers of a window
		"streams_pkey",                 // versions of streams, read with their events
		"streams_stream_id_key",        // appends
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
