package postgres

import (
	"slices"
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

// Ids and snapshots are passed as text, which every query mode can do, with a cast
// that gives the parameter its type: a cast of a text parameter would be worked out
// for every row.
func (a *arguments) xid(x window.XID) string {
	return a.add(strconv.FormatUint(uint64(x), 10), "::xid8")
}

func (a *arguments) snapshot(s window.Snapshot) string {
	return a.add(s.String(), "::pg_snapshot")
}

func (a *arguments) xids(list []window.XID) string {
	text := []byte{'{'}
	for i, x := range list {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendUint(text, uint64(x), 10)
	}
	return a.add(string(append(text, '}')), "::xid8[]")
}

// windowSQL returns the statement that reads the rows of a window, which implements
// window.Window.Holds by the indexes. That of a window which ends at the frontier that
// the same round trip takes finds that on the server.
func (s *session) windowSQL(w window.Window, opts es.FeedOptions, endsNow bool) (string, []any, error) {
	base, end, err := w.Epochs.Bounds(w.From.Epoch)
	if err != nil {
		return "", nil, err
	}
	args := arguments{w.After, w.From.LastPosition, end, opts.MaxEvents}
	visible := visibleSQL(&args, w, endsNow)
	rest := filterSQL(&args, s.sql, opts.Filter)
	categories := slices.Compact(slices.Sorted(slices.Values(opts.Filter.Categories)))
	arms := s.armsSQL(&args, visible, rest, categories, opts.Filter.Stream)
	if ids := w.Stragglers(); !ids.Empty() && w.After < w.From.LastPosition {
		text := s.sql.feedStragglers
		if w.Horizon == es.Settled && w.After > 0 {
			// All that is younger waits in one backlog: go through it by position
			// instead of collecting all of it again.
			text = strings.Replace(text, "AS MATERIALIZED", "AS NOT MATERIALIZED", 1)
		}
		arms = append(arms, strings.NewReplacer(
			"{ids}", stragglersSQL(&args, w.Horizon, ids), "{base}", args.add(base, "::bigint"),
			"{visible}", visible, "{filter}", rest+categoriesSQL(&args, categories)).Replace(text))
	}
	return strings.Replace(s.sql.feed, "{arms}", strings.Join(arms, "\n    UNION ALL\n    "), 1), args, nil
}

// maxArms bounds the categories that are read each by its own part of the index.
// More of them are read by position, and what is of other categories is skipped.
const maxArms = 16

// armsSQL selects what is above the position of the last frontier.
func (s *session) armsSQL(args *arguments, visible, rest string, categories []string, stream es.StreamID) []string {
	arm := func(categories []string) string {
		return strings.NewReplacer("{visible}", visible, "{filter}", rest+categoriesSQL(args, categories)).Replace(s.sql.feedArm)
	}
	if stream != (es.StreamID{}) {
		return []string{strings.NewReplacer(
			"{visible}", visible, "{filter}", rest+categoriesSQL(args, categories), "{stream}", args.add(stream.String(), ""),
		).Replace(s.sql.feedStream)}
	}
	if len(categories) < 2 || len(categories) > maxArms {
		return []string{arm(categories)}
	}
	arms := make([]string, len(categories))
	for i := range categories {
		arms[i] = arm(categories[i : i+1])
	}
	return arms
}

// visibleSQL selects what is not visible at the window's beginning and is at its end.
// IS TRUE keeps the planner from finding rows by their transaction ids and sorting
// them: the indexes of the arms have the order that is asked for.
func visibleSQL(args *arguments, w window.Window, endsNow bool) string {
	sql := "true"
	if w.From.Snapshot.Xmax > window.FirstXID { // at the beginning of an epoch nothing is visible
		sql = "(" + sees(args, w.Horizon, w.From) + ") IS NOT TRUE"
	}
	switch {
	case endsNow:
		sql += " AND (" + seesNow + ") IS TRUE"
	case w.To.Epoch == w.From.Epoch:
		sql += " AND (" + sees(args, w.Horizon, w.To) + ") IS TRUE"
	}
	return sql
}

// seesNow is sees under Committed for the frontier that the same round trip has taken.
// As subselects its parts are worked out once and not for every row.
const seesNow = "e.transaction_id < (SELECT pg_snapshot_xmin(current_setting('peat.snapshot')::pg_snapshot))" +
	" OR pg_visible_in_snapshot(e.transaction_id, (SELECT current_setting('peat.snapshot')::pg_snapshot))"

// sees is what window.Frontier.Sees is for rows of the frontier's epoch. The
// function is called only for ids among running ones.
func sees(args *arguments, horizon es.Horizon, f window.Frontier) string {
	s := f.Snapshot
	switch {
	case horizon == es.Settled:
		// Not coalesce(held_until, transaction_id), which has no statistics.
		xmin := args.xid(s.Xmin)
		return "e.transaction_id < " + xmin + " AND (e.held_until IS NULL OR e.held_until < " + xmin + ")"
	case len(s.Running) == 0:
		return "e.transaction_id < " + args.xid(s.Xmax)
	default:
		return "e.transaction_id < " + args.xid(s.Xmin) + " OR e.transaction_id < " + args.xid(s.Xmax) +
			" AND pg_visible_in_snapshot(e.transaction_id, " + args.snapshot(s) + ")"
	}
}

// stragglersSQL selects the rows that the index on transaction ids leads to.
func stragglersSQL(args *arguments, horizon es.Horizon, ids window.Stragglers) string {
	low, high := args.xid(ids.Low), args.xid(ids.High)
	sql := "e.transaction_id >= " + low + " AND e.transaction_id < " + high
	switch {
	case horizon == es.Settled:
		return sql + " OR e.held_until >= " + low + " AND e.held_until < " + high
	case len(ids.Running) == 0:
		return sql
	default:
		return sql + " OR e.transaction_id = ANY (" + args.xids(ids.Running) + ")"
	}
}

// filterSQL is the rest of a WHERE clause, except for the categories.
func filterSQL(args *arguments, q queries, f es.Filter) string {
	var sql strings.Builder
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

func categoriesSQL(args *arguments, categories []string) string {
	switch len(categories) {
	case 0:
		return ""
	case 1:
		return " AND e.category = " + args.add(categories[0], "")
	default:
		return " AND e.category = ANY (" + args.add(categories, "::text[]") + ")"
	}
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
