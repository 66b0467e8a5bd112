// Package backends gives a test an empty log in each kind of store.
//
// When the test ends, the log's invariants are checked, whatever the test was about.
package backends

import (
	"testing"

	"github.com/peatlog/peat/es/estest"
)

// Each runs a test once per kind of store, in parallel, each on an empty log.
func Each(t *testing.T, test func(t *testing.T, b estest.Backend)) {
	t.Helper()
	for name, open := range map[string]func(t testing.TB) estest.Backend{
		"postgres": func(t testing.TB) estest.Backend { return NewPostgres(t).Backend() },
		"sqlite":   func(t testing.TB) estest.Backend { return NewSQLite(t).Backend() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}
