package postgres

import (
	"strconv"
	"strings"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

// arguments collects the arguments of a statement that is put together.
type arguments []any

// add adds an argument and returns its placeholder, with a cast.
func (a *arguments) add(v any, cast string) string {
	*a = append(*a, v)
	return "$" + strconv.Itoa(len(*a)) + cast
}

func (a *arguments) xid(x window.XID) string {
	return a.add(strconv.FormatUint(uint64(x), 10), "::text::xid8")
}

func (a *arguments) snapshot(s window.Snapshot) string {
	return a.add(s.String(), "::text::pg_snapshot")
}

// windowSQL returns the statement that reads the rows of a window, which implements
// window.Window.Holds by the indexes.
func (s *session) windowSQL(w window.Window, opts es.FeedOptions) (string, []any, error) {
	base, end, err := w.Epochs.Bounds(w.From.Epoch)
	if err != nil {
		return "", nil, err
	}
	args := arguments{w.After, w.From.LastPosition, end, opts.MaxEvents}
	visible := "NOT (" + sees(&args, w.Horizon, w.From) + ")"
	if w.To.Epoch == w.From.Epoch {
		visible += " AND (" + sees(&args, w.Horizon, w.To) + ")"
	}
	filter := filterSQL(&args, s.sql, opts.Filter)
	stragglers := ""
	if ids := w.Stragglers(); !ids.Empty() && w.After < w.From.LastPosition {
		text := s.sql.feedStragglers
		if w.Horizon == es.Settled && w.After > 0 {
			// All that is younger waits in one backlog: go through it by position
			// instead of collecting all of it again.
			text = strings.Replace(text, "AS MATERIALIZED", "AS NOT MATERIALIZED", 1)
		}
		stragglers = strings.NewReplacer(
			"{ids}", stragglersSQL(&args, w.Horizon, ids), "{base}", args.add(base, "::bigint"),
			"{visible}", visible, "{filter}", filter).Replace(text)
	}
	sql := strings.NewReplacer("{visible}", visible, "{filter}", filter, "{stragglers}", stragglers).Replace(s.sql.feed)
	return sql, args, nil
}

// sees is what window.Frontier.Sees is for rows of the frontier's epoch.
func sees(args *arguments, horizon es.Horizon, f window.Frontier) string {
	if horizon == es.Settled {
		// Not coalesce(held_until, transaction_id), which has no statistics.
		xmin := args.xid(f.Snapshot.Xmin)
		return "e.transaction_id < " + xmin + " AND (e.held_until IS NULL OR e.held_until < " + xmin + ")"
	}
	return "e.transaction_id < " + args.xid(f.Snapshot.Xmin) + " OR pg_visible_in_snapshot(e.transaction_id, " + args.snapshot(f.Snapshot) + ")"
}

// stragglersSQL selects the rows that the index on transaction ids leads to.
func stragglersSQL(args *arguments, horizon es.Horizon, ids window.Stragglers) string {
	low, high := args.xid(ids.Low), args.xid(ids.High)
	sql := "e.transaction_id >= " + low + " AND e.transaction_id < " + high
	if horizon == es.Settled {
		return sql + " OR e.held_until >= " + low + " AND e.held_until < " + high
	}
	if len(ids.Running) == 0 {
		return sql
	}
	running := make([]string, len(ids.Running))
	for i, x := range ids.Running {
		running[i] = strconv.FormatUint(uint64(x), 10)
	}
	return sql + " OR e.transaction_id = ANY (" + args.add(running, "::text[]::xid8[]") + ")"
}

// filterSQL is the rest of a WHERE clause.
func filterSQL(args *arguments, q queries, f es.Filter) string {
	var sql strings.Builder
	switch len(f.Categories) {
	case 0:
	case 1:
		sql.WriteString(" AND e.category = " + args.add(f.Categories[0], ""))
	default:
		sql.WriteString(" AND e.category = ANY (" + args.add(f.Categories, "::text[]") + ")")
	}
	if len(f.Types) > 0 {
		sql.WriteString(" AND e.event_type = ANY (" + args.add(f.Types, "::text[]") + ")")
	}
	if f.Stream != (es.StreamID{}) {
		sql.WriteString(" AND e.stream_no = (SELECT s.stream_no FROM " + q.schema + ".streams s WHERE s.stream_id = " + args.add(f.Stream.String(), "") + ")")
	}
	if f.Segments > 1 {
		sql.WriteString(" AND e.stream_no % " + args.add(f.Segments, "::int") + " = " + args.add(f.Segment, "::int"))
	}
	return sql.String()
}

// backstopSQL returns the statement that looks for later versions that were
// delivered before.
func (s *session) backstopSQL(w window.Window, streams []string, versions []int64) (string, []any, error) {
	base, _, err := w.Epochs.Bounds(w.From.Epoch)
	if err != nil {
		return "", nil, err
	}
	args := arguments{streams, versions}
	delivered := "e.global_position <= " + args.add(base, "::bigint") + " OR " + sees(&args, w.Horizon, w.From)
	if w.To.Epoch == w.From.Epoch {
		delivered += " OR e.global_position <= " + args.add(w.After, "::bigint") + " AND (" + sees(&args, w.Horizon, w.To) + ")"
	} else {
		delivered += " OR e.global_position <= " + args.add(w.After, "::bigint")
	}
	return strings.Replace(s.sql.feedBackstop, "{delivered}", delivered, 1), args, nil
}
