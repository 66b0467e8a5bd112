package sqlite_test

import (
	"database/sql"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
)

// Every read is served by an index in the order that it has, whatever the
// statistics of the file say: nothing is scanned or sorted.
func TestReadsNeverScanOrSort(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s := openStore(t, path, sqlite.Options{})
	for i := range 200 {
		mustAppend(t, s, es.StreamID{Category: "test", Key: strconv.Itoa(i % 3)}, es.Any, noted())
	}
	db := openSQL(t, path)
	check := func(name string) (plan []string) {
		t.Helper()
		text, err := os.ReadFile("sql/" + name + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		for bound, order := range map[string]string{">=": "ASC", "<=": "DESC"} {
			query := strings.NewReplacer("{bound}", bound, "{order}", order).Replace(string(text))
			for _, step := range explain(t, db, query) {
				plan = append(plan, step)
				if strings.HasPrefix(step, "SCAN") && !strings.HasPrefix(step, "SCAN CONSTANT") || strings.Contains(step, "TEMP B-TREE") {
					t.Errorf("%s, %s: %s", name, order, step)
				}
			}
		}
		return plan
	}
	for _, statistics := range []string{"SELECT 1", "ANALYZE"} {
		execSQL(t, db, statistics)
		for _, name := range []string{"read_stream", "read_all", "read_snapshot", "stream_head", "find_append", "lock_stream", "read_parked", "stream_at", "generations"} {
			check(name)
		}
		if plan := strings.Join(check("read_category"), "\n"); !strings.Contains(plan, "peat_events_category_idx") {
			t.Errorf("read_category goes through other categories:\n%s", plan)
		}
	}
}

// explain returns the steps of a query's plan.
func explain(t *testing.T, db *sql.DB, query string) (steps []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, 1, 2, 3, 4, 5)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err says it
	for rows.Next() {
		var step string
		var none int
		if err := rows.Scan(&none, &none, &none, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}
