//go:build !race

package ledger_test

import "testing"

// SQLite is Go code here, and takes minutes under the race detector: make test
// runs this package once more without it.
func TestTheShippedFileReconcilesAndImportsOnceOnSQLite(t *testing.T) {
	t.Parallel()
	testShippedFile(t, newStore(t))
}
