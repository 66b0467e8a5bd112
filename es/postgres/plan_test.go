package postgres

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/pgtest"
	"github.com/peatlog/peat/internal/window"
)

// bulk is a log of {n} events as appends leave it: one transaction each, on one long
// stream and 1,900 others of 95 categories, and one event of each of two rare
// categories in every thousand.
const bulk = `
INSERT INTO {schema}.streams (stream_id, category, version, last_xid, last_epoch)
SELECT 'c' || n % 100 || '-' || n, 'c' || n % 100, {n} / 2000, '900000', 1 FROM generate_series(1, 2000) n;
INSERT INTO {schema}.streams (stream_id, category, version, last_xid, last_epoch)
VALUES ('long-1', 'long', {n} / 20, '900000', 1);
INSERT INTO {schema}.events (stream_no, stream_version, transaction_id, event_id, stream_id, category, event_type, data)
SELECT CASE n % 20 WHEN 0 THEN 2001 ELSE n % 2000 + 1 END, CASE n % 20 WHEN 0 THEN n / 20 ELSE n / 2000 END + 1,
       (1000000 + n)::text::xid8, gen_random_uuid(), 'x-1',
       CASE WHEN n % 1000 = 1 THEN 'rare' WHEN n % 1000 = 501 THEN 'scarce' WHEN n % 20 = 0 THEN 'long' ELSE 'c' || n % 100 END,
       'noted', '{"amount": 100, "note": "a payment of some length"}'
FROM generate_series(0, {n} - 1) n;
VACUUM ANALYZE {schema}.streams;
VACUUM ANALYZE {schema}.events;
`

// planEvents is how large a log the plans are made for.
func planEvents(t *testing.T) int64 {
	t.Helper()
	text := cmp.Or(os.Getenv("PEAT_TEST_PLAN_EVENTS"), "200000")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 200_000 {
		t.Fatalf("PEAT_TEST_PLAN_EVENTS is %q, want a number of 200000 or more", text)
	}
	return n
}

// What a poll costs must not grow with the log: every arm of every statement finds
// its rows by an index, with plans made for the arguments and with generic ones.
func TestFeedStaysOnItsIndexes(t *testing.T) {
	t.Parallel()
	pool, opts := pgtest.NewPool(t), Options{Schema: pgtest.NewSchema(t)}
	if err := Migrate(t.Context(), pool, opts); err != nil {
		t.Fatal(err)
	}
	s := &session{sql: newQueries(opts.Schema), opts: opts}
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	const first = 1_000_000 // the first event's transaction id
	n := planEvents(t)
	for statement := range strings.SplitSeq(strings.ReplaceAll(s.sql.inSchema(bulk), "{n}", strconv.FormatInt(n, 10)), ";") {
		if _, err := conn.Exec(t.Context(), statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	at := func(i int64, running ...window.XID) window.Frontier {
		xmax := window.XID(first + i)
		xmin := xmax
		if len(running) > 0 {
			xmin = running[0]
		}
		return window.Frontier{
			Epoch: 1, LastPosition: i, Next: xmax + 5,
			Snapshot: window.Snapshot{Xmin: xmin, Xmax: xmax, Running: running},
		}
	}
	epochs := window.Epochs{{Number: 1}}
	begin, err := epochs.Begin(1)
	if err != nil {
		t.Fatal(err)
	}
	rare := es.Filter{Categories: []string{"rare", "scarce"}}
	long := es.Filter{Stream: es.StreamID{Category: "long", Key: "1"}}
	for name, c := range map[string]struct {
		from    window.Frontier
		after   int64
		to      int64
		filter  es.Filter
		buffers int // at most so many pages
	}{
		"tail":                          {from: at(n - 20), to: n, buffers: 60},
		"tail with stragglers":          {from: at(n-20, first+window.XID(n)-3000, first+window.XID(n)-100), to: n, buffers: 300},
		"middle of a backlog":           {from: at(n-20, first+500), after: n / 2, to: n, buffers: 60},
		"tail of a category":            {from: at(n - 2000), to: n, filter: es.Filter{Categories: []string{"c7"}}, buffers: 120},
		"tail of a rare category":       {from: at(n - 20), to: n, filter: es.Filter{Categories: []string{"rare"}}, buffers: 40},
		"replay":                        {from: begin, to: n, buffers: 60},
		"replay of a category":          {from: begin, to: n, filter: es.Filter{Categories: []string{"c7"}}, buffers: 300},
		"replay of a rare category":     {from: begin, to: n, filter: es.Filter{Categories: []string{"rare"}}, buffers: 120},
		"tail of two categories":        {from: at(n - 2000), to: n, filter: es.Filter{Categories: []string{"c7", "c8"}}, buffers: 200},
		"tail of two rare categories":   {from: at(n - 20), to: n, filter: rare, buffers: 60},
		"replay of two categories":      {from: begin, to: n, filter: es.Filter{Categories: []string{"c7", "c8"}}, buffers: 300},
		"replay of two rare categories": {from: begin, to: n, filter: rare, buffers: 120},
		"tail of a stream":              {from: at(n - 2000), to: n, filter: long, buffers: 250},
		"middle of a stream":            {from: begin, after: n / 2, to: n, filter: long, buffers: 250},
		"backlog of a stream":           {from: at(n / 3), to: n, filter: long, buffers: 250},
		"replay of a stream":            {from: begin, to: n, filter: long, buffers: 250},
		"replay of a short stream":      {from: begin, to: n, filter: es.Filter{Stream: es.StreamID{Category: "c7", Key: "7"}}, buffers: 250},
	} {
		for _, horizon := range []es.Horizon{es.Committed, es.Settled} {
			w := window.Window{Horizon: horizon, From: c.from, To: at(c.to), Epochs: epochs, After: c.after}
			if _, err := conn.Exec(t.Context(), "SELECT set_config('peat.snapshot', $1, false)", w.To.Snapshot.String()); err != nil {
				t.Fatal(err)
			}
			for _, endsNow := range []bool{false, true} {
				if endsNow && (horizon != es.Committed || c.after > 0 || n-c.from.LastPosition > window.Nearby) {
					continue // not asked for
				}
				sql, args, err := s.windowSQL(w, es.FeedOptions{Filter: c.filter, MaxEvents: 100}, endsNow)
				if err != nil {
					t.Fatal(err)
				}
				for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
					name := fmt.Sprintf("%s, %v, ends now %v, %s", name, horizon, endsNow, mode)
					checkPlan(t, conn.Conn(), name, mode, c.buffers, sql, args)
				}
			}
		}
	}
	backstop, args, err := s.backstopSQL(window.Window{From: at(n - 20), To: at(n), Epochs: epochs}, []string{"c7-7", "c8-8"}, []int64{3, 4})
	if err != nil {
		t.Fatal(err)
	}
	checkPlan(t, conn.Conn(), "backstop", "force_generic_plan", 60, backstop, args)
}

// checkPlan runs a statement and checks how it found its rows.
func checkPlan(t *testing.T, conn *pgx.Conn, name, mode string, buffers int, sql string, args []any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), "SET plan_cache_mode = "+mode); err != nil {
		t.Fatal(err)
	}
	var text string
	if err := conn.QueryRow(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+sql, args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var plans []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	if err := json.Unmarshal([]byte(text), &plans); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, `"Seq Scan"`) {
		t.Errorf("%s scans a table:\n%s", name, text)
	}
	if pages := plans[0].Plan.Hit + plans[0].Plan.Read; pages > buffers {
		t.Errorf("%s reads %d pages, want at most %d:\n%.3000s", name, pages, buffers, text)
	} else {
		t.Logf("%s reads %d pages of at most %d", name, pages, buffers)
	}
}
