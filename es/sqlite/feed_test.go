package sqlite

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/peatlog/peat/es"
)

// A feed sorts nothing, and reads up to sixteen categories each by its own part of
// the index.
func TestFeedNeverSorts(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "log.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for name, c := range map[string]struct {
		filter es.Filter
		search int // times that the index on categories is searched
	}{
		"all":              {},
		"types":            {es.Filter{Types: []string{"a", "b"}}, 0},
		"a category":       {es.Filter{Categories: []string{"a"}}, 1},
		"three categories": {es.Filter{Categories: []string{"a", "b", "c", "a"}, Types: []string{"t"}}, 3},
		"17 categories":    {es.Filter{Categories: strings.Split("abcdefghijklmnopq", "")}, 0},
	} {
		text, args := s.feedSQL(c.filter, 0, 100, 10)
		plan := planOf(t, s, text, args)
		if n := strings.Count(plan, "SEARCH e USING INDEX peat_events_category_idx (category=? AND"); n != c.search || strings.Contains(plan, "B-TREE") {
			t.Errorf("%s:\n%s", name, plan)
		}
	}
}

// planOf returns the steps of a statement's plan, one a line.
func planOf(t *testing.T, s *Store, text string, args []any) string {
	t.Helper()
	rows, err := s.readers.db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err says it
	var plan strings.Builder
	for rows.Next() {
		var step string
		var none int
		if err := rows.Scan(&none, &none, &none, &step); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(step + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
