package postgres

import (
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/pgtest"
	"github.com/peatlog/peat/internal/window"
)

// The statements of the feed read exactly the rows that the algorithm defines,
// whatever frontiers and rows there are: of both horizons, across epochs, from the
// middle of a window on.
func TestWindowSQLReadsWhatTheWindowHolds(t *testing.T) {
	t.Parallel()
	pool, opts := pgtest.NewPool(t), Options{Schema: pgtest.NewSchema(t)}
	if err := Migrate(t.Context(), pool, opts); err != nil {
		t.Fatal(err)
	}
	s := &Store{pool: pool, session: session{db: pool, sql: newQueries(opts.Schema), opts: opts}}
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWindow(rt)
		rows := drawRows(rt, w)
		fill(t, s, rows)
		limit := rapid.IntRange(1, 12).Draw(rt, "limit")
		want := []int64{}
		for _, r := range rows {
			if w.Holds(r) {
				want = append(want, r.Position)
			}
		}
		slices.Sort(want)
		want = want[:min(limit, len(want))]

		sql, args, err := s.windowSQL(w, es.FeedOptions{MaxEvents: limit})
		if err != nil {
			rt.Fatal(err)
		}
		result, err := pool.Query(t.Context(), "SELECT global_position FROM ("+sql+") f", args...)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := pgx.CollectRows(result, pgx.RowTo[int64])
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Errorf("%+v\nof %+v (-want +got):\n%s", w, rows, diff)
		}
	})
}

const lowest, highest = 10, 40 // transaction ids

func drawFrontier(t *rapid.T, epoch int, after window.XID, label string) window.Frontier {
	xmin := window.XID(rapid.Uint64Range(uint64(after), highest).Draw(t, label+" xmin"))
	s := window.Snapshot{Xmin: xmin, Xmax: window.XID(rapid.Uint64Range(uint64(xmin), highest).Draw(t, label+" xmax"))}
	for x := s.Xmin; x < s.Xmax; x++ {
		if x == s.Xmin || rapid.Bool().Draw(t, label+" running") {
			s.Running = append(s.Running, x)
		}
	}
	return window.Frontier{
		Epoch: epoch, Snapshot: s, LastPosition: rapid.Int64Range(0, 30).Draw(t, label+" position"),
		Next: s.Xmax + window.XID(rapid.Uint64Range(0, 5).Draw(t, label+" next")),
	}
}

func drawWindow(t *rapid.T) window.Window {
	w := window.Window{
		Horizon: rapid.SampledFrom([]es.Horizon{es.Committed, es.Settled}).Draw(t, "horizon"),
		Epochs:  window.Epochs{{Number: 1}},
		After:   rapid.SampledFrom([]int64{0, 0, 5, 12, 20}).Draw(t, "after"),
		From:    drawFrontier(t, 1, lowest, "from"),
	}
	switch rapid.SampledFrom([]string{"one epoch", "first of two epochs", "end of an epoch", "second epoch"}).Draw(t, "epochs") {
	case "one epoch":
		w.To = drawFrontier(t, 1, w.From.Snapshot.Xmin, "to")
	case "first of two epochs": // the log has moved while the window was open
		w.Epochs = append(w.Epochs, window.Epoch{Number: 2, Base: 15})
		w.From.LastPosition = min(w.From.LastPosition, 15)
		w.To = drawFrontier(t, 1, w.From.Snapshot.Xmin, "to")
	case "end of an epoch":
		w.Epochs = append(w.Epochs, window.Epoch{Number: 2, Base: 15})
		w.From.LastPosition = min(w.From.LastPosition, 15)
		w.To, _ = w.Epochs.Begin(2)
	case "second epoch":
		w.Epochs = append(w.Epochs, window.Epoch{Number: 2, Base: 15})
		w.From.Epoch, w.From.LastPosition = 2, max(w.From.LastPosition, 15)
		w.To = drawFrontier(t, 2, w.From.Snapshot.Xmin, "to")
	}
	return w
}

// drawRows draws rows that can be there: one whose position was drawn by the time
// of From has an id from before From's Next.
func drawRows(t *rapid.T, w window.Window) []window.Row {
	var rows []window.Row
	for position := int64(1); position <= 30; position++ {
		if !rapid.Bool().Draw(t, "row") {
			continue
		}
		top := window.XID(highest + 10)
		if w.Epochs.Of(position) == w.From.Epoch && position <= w.From.LastPosition {
			top = w.From.Next - 1
		}
		r := window.Row{Position: position, XID: window.XID(rapid.Uint64Range(lowest-5, uint64(top)).Draw(t, "xid"))}
		if rapid.Bool().Draw(t, "held") && r.XID < top {
			r.HeldUntil = window.XID(rapid.Uint64Range(uint64(r.XID)+1, uint64(top)).Draw(t, "until"))
		}
		rows = append(rows, r)
	}
	return rows
}

// fill puts the rows into the log, each on a stream of its own.
func fill(t *testing.T, s *Store, rows []window.Row) {
	t.Helper()
	batch := &pgx.Batch{}
	batch.Queue("TRUNCATE " + s.sql.schema + ".events")
	for _, r := range rows {
		var held *string
		if r.HeldUntil > 0 {
			held = new(strconv.FormatUint(uint64(r.HeldUntil), 10))
		}
		batch.Queue(`INSERT INTO `+s.sql.schema+`.events (global_position, stream_no, stream_version, transaction_id, held_until, event_id, stream_id, category, event_type, data)
			OVERRIDING SYSTEM VALUE VALUES ($1, $1, 1, $2::text::xid8, $3::text::xid8, gen_random_uuid(), 'c-1', 'c', 't', '{}')`,
			r.Position, strconv.FormatUint(uint64(r.XID), 10), held)
	}
	if err := s.pool.SendBatch(t.Context(), batch).Close(); err != nil {
		t.Fatal(err)
	}
}
