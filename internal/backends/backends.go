// Package backends gives a test an empty log in each kind of store.
//
// When the test ends, the log's invariants are checked, whatever the test was about.
package backends

import (
	"testing"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/es/postgres"
)

// Each runs a test once per kind of store, in parallel, each on an empty log.
func Each(t *testing.T, test func(t *testing.T, b estest.Backend)) {
	t.Helper()
	EachTraced(t, func(t *testing.T, open func(es.Tracers) estest.Backend) { test(t, open(es.Tracers{})) })
}

// EachTraced is Each for a test that opens its empty log itself, with tracers.
func EachTraced(t *testing.T, test func(t *testing.T, open func(es.Tracers) estest.Backend)) {
	t.Helper()
	for name, open := range map[string]func(t testing.TB, tracers es.Tracers) estest.Backend{
		"postgres": func(t testing.TB, tracers es.Tracers) estest.Backend {
			return NewPostgresWith(t, postgres.Options{Tracers: tracers}).Backend()
		},
		"sqlite": func(t testing.TB, tracers es.Tracers) estest.Backend { return newSQLite(t, tracers).Backend() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(tracers es.Tracers) estest.Backend { return open(t, tracers) })
		})
	}
}
