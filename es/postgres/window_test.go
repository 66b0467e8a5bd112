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
// whatever frontiers, rows and filters there are: of both horizons, across epochs,
// from the middle of a window on.
func TestWindowSQLReadsWhatTheWindowHolds(t *testing.T) {
	t.Parallel()
	pool, opts := pgtest.NewPool(t), Options{Schema: pgtest.NewSchema(t)}
	if err := Migrate(t.Context(), pool, opts); err != nil {
		t.Fatal(err)
	}
	s := &Store{pool: pool, session: session{db: pool, sql: newQueries(opts.Schema), opts: opts}}
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWindow(rt)
		rows := drawRows(rt, w)
		fill(t, s, rows)
		filter := drawFilter(rt)
		limit := rapid.IntRange(1, 12).Draw(rt, "limit")
		want := []int64{}
		for _, r := range rows {
			if w.Holds(r.Row) && filter.fits(r) {
				want = append(want, r.Position)
			}
		}
		slices.Sort(want)
		want = want[:min(limit, len(want))]

		endsNow := w.Horizon == es.Committed && w.To.Epoch == w.From.Epoch && rapid.Bool().Draw(rt, "ends now")
		sql, args, err := s.windowSQL(w, es.FeedOptions{Filter: filter.Filter, MaxEvents: limit}, endsNow)
		if err != nil {
			rt.Fatal(err)
		}
		if endsNow { // as the statement before it in the pipeline leaves it
			if _, err := conn.Exec(t.Context(), "SELECT set_config('peat.snapshot', $1, false)", w.To.Snapshot.String()); err != nil {
				rt.Fatal(err)
			}
		}
		result, err := conn.Query(t.Context(), "SELECT global_position FROM ("+sql+") f", args...)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := pgx.CollectRows(result, pgx.RowTo[int64])
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Errorf("%+v\nby %+v\nof %+v (-want +got):\n%s", w, filter.Filter, rows, diff)
		}
	})
}

const lowest, highest = 10, 40 // transaction ids

func drawFrontier(t *rapid.T, epoch int, after window.XID, label string) window.Frontier {
	xmin := window.XID(rapid.Uint64Range(uint64(after), highest).Draw(t, label+" xmin"))
	s := window.Snapshot{Xmin: xmin, Xmax: window.XID(rapid.Uint64Range(uint64(xmin), highest).Draw(t, label+" xmax"))}
	quiet := rapid.Bool().Draw(t, label+" quiet")
	for x := s.Xmin; x < s.Xmax && !quiet; x++ {
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

// placed is a row with its place: the stream "cN-1" of the category cN.
type placed struct {
	window.Row
	stream, version int
}

const streams = 3

// drawRows draws rows that can be there: one whose position was drawn by the time
// of From has an id from before From's Next.
func drawRows(t *rapid.T, w window.Window) []placed {
	var rows []placed
	versions := [streams]int{}
	for position := int64(1); position <= 30; position++ {
		if !rapid.Bool().Draw(t, "row") {
			continue
		}
		top := window.XID(highest + 10)
		if w.Epochs.Of(position) == w.From.Epoch && position <= w.From.LastPosition {
			top = w.From.Next - 1
		}
		r := placed{stream: rapid.IntRange(0, streams-1).Draw(t, "stream")}
		r.Row = window.Row{Position: position, XID: window.XID(rapid.Uint64Range(lowest-5, uint64(top)).Draw(t, "xid"))}
		if rapid.Bool().Draw(t, "held") && r.XID < top {
			r.HeldUntil = window.XID(rapid.Uint64Range(uint64(r.XID)+1, uint64(top)).Draw(t, "until"))
		}
		// Sometimes there is a hole, made by hand, and a long stream.
		versions[r.stream] += rapid.SampledFrom([]int{1, 1, 1, 2, 150}).Draw(t, "version")
		r.version = versions[r.stream]
		rows = append(rows, r)
	}
	return rows
}

// drawnFilter is a filter and which rows it selects.
type drawnFilter struct {
	es.Filter
	fits func(placed) bool
}

func drawFilter(t *rapid.T) drawnFilter {
	among := func(streams ...int) func(placed) bool {
		return func(r placed) bool { return slices.Contains(streams, r.stream) }
	}
	many := []string{"c0", "c2"}
	for i := range maxArms {
		many = append(many, "none"+strconv.Itoa(i))
	}
	return rapid.SampledFrom([]drawnFilter{
		{es.Filter{}, func(placed) bool { return true }},
		{es.Filter{Categories: []string{"c1"}}, among(1)},
		{es.Filter{Categories: []string{"c2", "c0"}}, among(0, 2)},
		{es.Filter{Categories: []string{"c1", "c0", "c1"}}, among(0, 1)},
		{es.Filter{Categories: many}, among(0, 2)},
		{es.Filter{Stream: es.StreamID{Category: "c1", Key: "1"}}, among(1)},
		{es.Filter{Stream: es.StreamID{Category: "c1", Key: "1"}, Categories: []string{"c0"}}, among()},
		{es.Filter{Stream: es.StreamID{Category: "c1", Key: "none"}}, among()},
		{es.Filter{Types: []string{"t1"}}, func(r placed) bool { return r.version%2 == 1 }},
		{es.Filter{Types: []string{"t1"}, Categories: []string{"c0", "c1"}}, func(r placed) bool { return r.version%2 == 1 && r.stream < 2 }},
	}).Draw(t, "filter")
}

// fill puts the rows into the log.
func fill(t *testing.T, s *Store, rows []placed) {
	t.Helper()
	batch := &pgx.Batch{}
	batch.Queue("TRUNCATE " + s.sql.schema + ".events, " + s.sql.schema + ".streams")
	versions := [streams]int{}
	for _, r := range rows {
		var held *string
		if r.HeldUntil > 0 {
			held = new(strconv.FormatUint(uint64(r.HeldUntil), 10))
		}
		versions[r.stream] = r.version
		batch.Queue(`INSERT INTO `+s.sql.schema+`.events (global_position, stream_no, stream_version, transaction_id, held_until, event_id, stream_id, category, event_type, data)
			OVERRIDING SYSTEM VALUE VALUES ($1, $2::int, $3::int, $4::text::xid8, $5::text::xid8, gen_random_uuid(), 'c-1', 'c' || $2::int, 't' || $3::int % 2, '{}')`,
			r.Position, r.stream, r.version, strconv.FormatUint(uint64(r.XID), 10), held)
	}
	for stream, version := range versions {
		batch.Queue(`INSERT INTO `+s.sql.schema+`.streams (stream_no, stream_id, category, version, last_xid, last_epoch)
			OVERRIDING SYSTEM VALUE VALUES ($1::int, 'c' || $1::int || '-1', 'c' || $1::int, $2, '0', 1)`, stream, version)
	}
	if err := s.pool.SendBatch(t.Context(), batch).Close(); err != nil {
		t.Fatal(err)
	}
}
