package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/ledger"
	"github.com/peatlog/peat/internal/backends"
)

// truth is what the shipped file holds, computed independently of this program.
var truth = ledger.Report{
	Transactions: 28205, Accounts: 1139, AccountDays: 23440,
	Exact: 22073, Rounded: 1366,
	Off:      []ledger.Difference{{Account: "8132", Date: "1993-12-31", Computed: 21625_50, Printed: 21625_30}},
	Credited: 120442237_40, Debited: 83866291_30,
}

func newStore(t *testing.T) es.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "bank.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// shipped yields the rows of the shipped file.
func shipped(t *testing.T) iter.Seq2[ledger.Row, error] {
	t.Helper()
	file, err := os.Open("../testdata/czech-bank-1993.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return ledger.Read("czech-bank-1993.csv.gz", file)
}

// deposits returns a file of n deposits of 1.00 on as many accounts as given,
// numbered from 1, with transaction n on line n+1.
func deposits(n, accounts int) string {
	var file strings.Builder
	file.WriteString(header)
	for i := range n {
		fmt.Fprintf(&file, "%d;%d;930101;PRIJEM;VKLAD;1.00;1.00;;;\n", i+1, i%accounts+1)
	}
	return file.String()
}

func reconcile(t *testing.T, store es.Store) ledger.Report {
	t.Helper()
	report, err := ledger.Reconcile(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestTheShippedFileReconcilesAndImportsOnceOnPostgres(t *testing.T) {
	t.Parallel()
	testShippedFile(t, backends.NewPostgres(t).Store)
}

func testShippedFile(t *testing.T, store es.Store) {
	t.Helper()
	repo := account.NewRepository(store)
	for _, want := range []ledger.Result{{Appended: 28205}, {Duplicates: 28205}} {
		got, err := ledger.Import(t.Context(), repo, shipped(t), ledger.Options{})
		if err != nil || got != want {
			t.Fatalf("import: %+v, %v; want %+v", got, err, want)
		}
		if diff := cmp.Diff(truth, reconcile(t, store)); diff != "" {
			t.Fatalf("report (-want +got):\n%s", diff)
		}
	}
}

func TestAMalformedLineKeepsWhatIsBeforeIt(t *testing.T) {
	t.Parallel()
	repaired := deposits(1000, 50)
	broken := strings.Replace(repaired, "\n701;", "\nx701;", 1) // line 702, behind the header
	store := newStore(t)
	repo := account.NewRepository(store)

	got, err := ledger.Import(t.Context(), repo, ledger.Read("f.csv", strings.NewReader(broken)), ledger.Options{})
	if want := `f.csv:702: trans_id: "x701" is not a positive whole number`; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
	if want := (ledger.Result{Appended: 700}); got != want {
		t.Errorf("import of the broken file: %+v, want %+v", got, want)
	}
	if report := reconcile(t, store); report.Transactions != 700 || report.Credited != 700_00 {
		t.Errorf("in the store: %+v", report)
	}
	got, err = ledger.Import(t.Context(), repo, ledger.Read("f.csv", strings.NewReader(repaired)), ledger.Options{})
	if want := (ledger.Result{Appended: 300, Duplicates: 700}); err != nil || got != want {
		t.Errorf("import of the repaired file: %+v, %v; want %+v", got, err, want)
	}
	inOrder(t, store)
	if report := reconcile(t, store); report.Transactions != 1000 || report.Accounts != 50 || report.Credited != 1000_00 {
		t.Errorf("in the store: %+v", report)
	}
}

// inOrder checks that the rows of each account are in the order of a file whose
// transactions are numbered upwards.
func inOrder(t *testing.T, store es.Store) {
	t.Helper()
	last := map[string]int64{}
	for rec, err := range store.ReadAll(t.Context(), es.ReadAllOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		env, err := es.Decode(account.Events, rec)
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := env.Event.(account.Posting); ok {
			if p.Posted().Transaction <= last[rec.Stream.Key] {
				t.Errorf("transaction %d of %s is behind %d", p.Posted().Transaction, rec.Stream, last[rec.Stream.Key])
			}
			last[rec.Stream.Key] = p.Posted().Transaction
		}
	}
}

// faulty is a store that asks before it appends.
type faulty struct {
	es.Store
	mayAppend func(es.StreamID) error
}

func (f faulty) Append(ctx context.Context, s es.StreamID, x es.Expected, events ...es.EventData) (es.AppendResult, error) {
	if err := f.mayAppend(s); err != nil {
		return es.AppendResult{}, err
	}
	return f.Store.Append(ctx, s, x, events...)
}

var errFault = errors.New("fault")

func TestOfSeveralFailuresTheFirstLineIsNamed(t *testing.T) {
	t.Parallel()
	stopped := make(chan struct{})
	store := faulty{newStore(t), func(s es.StreamID) error {
		switch s.Key {
		case "500": // fails once 600 has stopped the import; nothing else can, as
			// the rows behind 500 are more than the queues hold
			<-stopped
			return errFault
		case "600":
			return errFault
		default:
			return nil
		}
	}}
	rows := func(yield func(ledger.Row, error) bool) {
		defer close(stopped)
		ledger.Read("f.csv", strings.NewReader(deposits(5000, 5000)))(yield)
	}
	got, err := ledger.Import(t.Context(), account.NewRepository(store), rows, ledger.Options{})
	if located, ok := errors.AsType[*ledger.LineError](err); !ok || located.Line != 501 || !errors.Is(err, errFault) {
		t.Errorf("got error %v, want line 501 and %v", err, errFault)
	}
	if got.Appended < 499 || got.Appended > 4998 {
		t.Errorf("%d rows appended, want at least the 499 before the first failure", got.Appended)
	}
	repo := account.NewRepository(store)
	for i := range 499 {
		if _, err := repo.Load(t.Context(), strconv.Itoa(i+1)); err != nil {
			t.Errorf("a row before the first failure: %v", err)
		}
	}
}

func TestNothingIsPostedBehindAFailureInTheSameAccount(t *testing.T) {
	t.Parallel()
	failed := false
	store := faulty{newStore(t), func(es.StreamID) error {
		if failed {
			return nil
		}
		failed = true
		return errFault
	}}
	file := strings.NewReader(deposits(5, 1))
	got, err := ledger.Import(t.Context(), account.NewRepository(store), ledger.Read("f.csv", file), ledger.Options{})
	if want := "f.csv:2: fault"; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
	if got.Appended != 0 {
		t.Errorf("%d rows appended behind the one that failed", got.Appended)
	}
}

func TestCancellingStopsTheImport(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	repo := account.NewRepository(store)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	file := deposits(1200, 300)
	rows := func(yield func(ledger.Row, error) bool) {
		for row, err := range ledger.Read("f.csv", strings.NewReader(file)) {
			if row.Line == 600 {
				cancel()
			}
			if !yield(row, err) {
				return
			}
		}
	}
	got, err := ledger.Import(ctx, repo, rows, ledger.Options{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
	if got.Appended >= 600 {
		t.Errorf("%d rows appended by line 600", got.Appended)
	}
	rest, err := ledger.Import(t.Context(), repo, ledger.Read("f.csv", strings.NewReader(file)), ledger.Options{Workers: 3})
	if err != nil || rest.Appended+rest.Duplicates != 1200 || rest.Duplicates < got.Appended {
		t.Errorf("going on: %+v, %v after %+v", rest, err, got)
	}
	if report := reconcile(t, store); report.Transactions != 1200 || report.Credited != 1200_00 {
		t.Errorf("in the store: %+v", report)
	}
}
