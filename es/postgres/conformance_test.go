package postgres_test

import (
	"testing"

	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	estest.Run(t, func(t *testing.T) estest.Backend { return backends.NewPostgres(t).Backend() })
}

func TestConformanceUngrouped(t *testing.T) {
	t.Parallel()
	estest.Run(t, func(t *testing.T) estest.Backend {
		return backends.NewPostgresWith(t, postgres.Options{Ungrouped: true}).Backend()
	})
}
