package ledger

import (
	"cmp"
	"context"
	"hash/fnv"
	"iter"
	"strconv"
	"sync"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
)

// Options configures [Import]. The zero value works.
type Options struct {
	// Workers is how many accounts are worked on at once; 0 means 32. It pays
	// to have many: stores commit what is appended at the same time together.
	Workers int
}

// Result says what an import did.
type Result struct {
	// Appended is the number of rows that are new in the store, Duplicates that
	// of rows that were there already.
	Appended, Duplicates int
}

// queueLength bounds the rows that wait for a worker.
const queueLength = 16

// Import posts every row to its account, with one command each. The command's id
// is made of the transaction's, so that a row lands once, however often its file
// is imported; a row whose transaction is there already is not looked at again.
//
// Rows of one account are posted in their order, different accounts at the
// same time. The first error stops the import and is returned with what was done
// until then: every row before the one that failed is in the store, and the same
// import can be run again. So it is with a ctx that is cancelled, except that
// which rows are missing is not certain then.
func Import(ctx context.Context, repo *account.Repository, rows iter.Seq2[Row, error], opts Options) (Result, error) {
	imp := &importer{repo: repo, failed: make(chan struct{})}
	queues := make([]chan Row, max(cmp.Or(opts.Workers, 32), 1))
	var workers sync.WaitGroup
	for i := range queues {
		queues[i] = make(chan Row, queueLength)
		workers.Go(func() { imp.work(ctx, queues[i]) })
	}
	err := imp.distribute(rows, queues)
	for _, queue := range queues {
		close(queue)
	}
	workers.Wait()
	// What a worker failed at was read before whatever ended the reading.
	if imp.err != nil {
		err = imp.err
	}
	return imp.result, err
}

// importer is what the workers of an import share.
type importer struct {
	repo   *account.Repository
	failed chan struct{} // closed at the first failure

	mu     sync.Mutex
	result Result
	err    *LineError // of the first line that failed
}

// distribute hands each row to the worker of its account, until there are no
// more or one cannot be read or posted. A cancelled context shows as the latter.
func (imp *importer) distribute(rows iter.Seq2[Row, error], queues []chan Row) error {
	for row, err := range rows {
		if err != nil {
			return err
		}
		select {
		case queues[shard(row.Account, len(queues))] <- row:
		case <-imp.failed:
			return nil
		}
	}
	return nil
}

// shard tells which of n workers an account belongs to, always the same one.
func shard(account string, n int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(account)) // never fails
	return int(h.Sum32() % uint32(n))
}

// work posts the rows of one queue. After a failure it leaves the rest, all of
// which are behind the row that failed.
func (imp *importer) work(ctx context.Context, queue <-chan Row) {
	for row := range queue {
		duplicate, err := imp.post(ctx, row)
		if !imp.done(row, duplicate, err) {
			return
		}
	}
}

// post executes the command of one row and tells whether it had landed before.
func (imp *importer) post(ctx context.Context, row Row) (duplicate bool, err error) {
	transaction := row.Posting.Posted().Transaction
	ctx = es.WithCommandID(ctx, "ledger/"+strconv.FormatInt(transaction, 10))
	root, err := imp.repo.Execute(ctx, row.Account, func(a *account.Account) ([]account.Event, error) {
		return a.Post(row.Posting)
	})
	if err != nil {
		return false, err
	}
	return root.LastAppend().Duplicate, nil
}

// done takes the outcome of one row and tells whether to go on.
func (imp *importer) done(row Row, duplicate bool, err error) bool {
	imp.mu.Lock()
	defer imp.mu.Unlock()
	switch {
	case err != nil:
		if imp.err == nil {
			close(imp.failed)
		}
		if imp.err == nil || row.Line < imp.err.Line {
			imp.err = &LineError{File: row.File, Line: row.Line, Err: err}
		}
	case duplicate:
		imp.result.Duplicates++
	default:
		imp.result.Appended++
	}
	return err == nil
}
