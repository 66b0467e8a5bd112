package postgres_test

import (
	"strings"
	"testing"

	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	estest.Run(t, func(t *testing.T) estest.Backend { return backends.NewPostgres(t).Backend() })
}

// Without shared transactions, and with the function for batches where otherwise there
// is one for single events.
func TestConformanceUngrouped(t *testing.T) {
	t.Parallel()
	estest.Run(t, func(t *testing.T) estest.Backend {
		log := backends.NewPostgresWith(t, postgres.Options{Ungrouped: true})
		leaveToBatches(t, log)
		return log.Backend()
	})
}

// leaveToBatches makes append_event of a log leave all it gets to append_events.
func leaveToBatches(t *testing.T, log *backends.Postgres) {
	t.Helper()
	var function string
	err := log.Pool.QueryRow(t.Context(), "SELECT pg_get_functiondef($1::regproc)", log.Table("append_event")).Scan(&function)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range [][2]string{
		{"WHERE s.stream_id = p_stream_id", "WHERE false"},
		{"IF NOT FOUND AND p_expected IN (0, -1)", "IF false"},
	} {
		if strings.Count(function, step[0]) != 1 {
			t.Fatalf("append_event has no %q", step[0])
		}
		function = strings.Replace(function, step[0], step[1], 1)
	}
	if _, err := log.Pool.Exec(t.Context(), function); err != nil {
		t.Fatal(err)
	}
}
