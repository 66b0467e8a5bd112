package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/examples/bank/cli"
)

const header = "trans_id;account_id;date;type;operation;amount;balance;k_symbol;bank;account\n"

// small is a statement of three rows on one account.
const small = header + `1;7;930101;PRIJEM;VKLAD;700.00;700.00;;;
2;7;930131;PRIJEM;;1.26;701.30;UROK;;
3;7;930205;VYDAJ;PREVOD NA UCET;1000.00;-298.70;SIPO;YZ;62457513
`

// outcome is what a run of the program left.
type outcome struct {
	code           int
	stdout, stderr string
}

// exited is what the tests' Exit panics with, as it must not return.
type exited struct{ code int }

// run runs the program as main does.
func run(ctx context.Context, args ...string) (o outcome) {
	var stdout, stderr bytes.Buffer
	defer func() {
		if p := recover(); p != nil {
			o.code = p.(exited).code
		}
		o.stdout, o.stderr = stdout.String(), stderr.String()
	}()
	program := cli.Program{
		Stdout: &stdout, Stderr: &stderr, Exit: func(code int) { panic(exited{code}) },
		StatementName: "small.csv", Statement: []byte(small),
	}
	o.code = program.Run(ctx, args)
	return o
}

// session is a store with a few commands run on it.
type session struct {
	t     *testing.T
	store string
}

func newSession(t *testing.T) session {
	t.Helper()
	return session{t: t, store: "sqlite:" + filepath.Join(t.TempDir(), "bank.db")}
}

func (s session) run(command string, args ...string) outcome {
	return run(s.t.Context(), append([]string{command, "--store", s.store}, args...)...)
}

// ok runs a command that must succeed and returns what it printed.
func (s session) ok(command string, args ...string) string {
	s.t.Helper()
	o := s.run(command, args...)
	if o.code != 0 || o.stderr != "store: "+s.store+"\n" {
		s.t.Fatalf("%s %q: exit %d, %s", command, args, o.code, o.stderr)
	}
	return o.stdout
}

// file writes a statement and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCustomersUseTheirAccounts(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	for _, step := range []struct{ command, args, want string }{
		{"open", "ann --holder Ann --overdraft 500", "Opened account ann for Ann.\n"},
		{"open", "bob --holder Bob", "Opened account bob for Bob.\n"},
		{"deposit", "ann 1000", "Deposited 1,000.00, the balance of account ann is 1,000.00.\n"},
		{"transfer", "ann bob 1250.5", "Transferred 1,250.50 from account ann to account bob.\n"},
		{"withdraw", "bob 1250.50", "Withdrew 1,250.50, the balance of account bob is 0.00.\n"},
		{"close", "bob", "Closed account bob.\n"},
	} {
		if got := s.ok(step.command, strings.Fields(step.args)...); got != step.want {
			t.Errorf("%s %s: %q, want %q", step.command, step.args, got, step.want)
		}
	}
	want := `Account bob
  holder     Bob
  status     closed
  balance    0.00
  overdraft  0.00
  events     4, newest first:
  4  DAY               closed, by WHO
  3  DAY  -1,250.50    withdrawal, by WHO
  2  DAY  +1,250.50    transfer from account ann, by WHO
  1  DAY               opened, by WHO
`
	got := regexp.MustCompile(`\d{4}-\d\d-\d\d`).ReplaceAllString(s.ok("account", "bob"), "DAY")
	got = regexp.MustCompile(`by .*`).ReplaceAllString(got, "by WHO")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("account (-want +got):\n%s", diff)
	}
	if got := s.ok("account", "--last", "1", "bob"); !strings.Contains(got, "closed, by") || strings.Contains(got, "withdrawal") {
		t.Errorf("account --last 1:\n%s", got)
	}
}

func TestAnImportedAccountIsShownWithThePrintedBalances(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.ok("import", file(t, small))
	want := `Account 7
  holder     unknown, the ledger names none
  status     open
  balance    -298.74
  overdraft  0.00
  events     4, newest first:
  4  1993-02-05  -1,000.00  = -298.70  payment to 62457513/YZ (household)
  3  1993-01-31      +1.26   = 701.30  interest
`
	if diff := cmp.Diff(want, s.ok("account", "7", "--last=2")); diff != "" {
		t.Errorf("account (-want +got):\n%s", diff)
	}
}

func TestTheReportForPrograms(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	path := file(t, small)
	for _, want := range []string{
		`{"transactions":3,"accounts":1,"account_days":3,"exact":2,"within_010":1,"off":0,` +
			`"credited":"701.26","debited":"1000.00","appended":3,"duplicates":0,"seconds":S}`,
		`{"transactions":3,"accounts":1,"account_days":3,"exact":2,"within_010":1,"off":0,` +
			`"credited":"701.26","debited":"1000.00","appended":0,"duplicates":3,"seconds":S}`,
	} {
		var got bytes.Buffer
		if err := json.Compact(&got, []byte(s.ok("import", "--json", path))); err != nil {
			t.Fatal(err)
		}
		text := regexp.MustCompile(`"seconds":[0-9.]+`).ReplaceAllString(got.String(), `"seconds":S`)
		if diff := cmp.Diff(want, text); diff != "" {
			t.Errorf("import --json (-want +got):\n%s", diff)
		}
	}
}

func TestTheReportForPeople(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	text := small + "4;7;930206;PRIJEM;VKLAD;1298.70;1001.00;;;\n" // 1.00 too much
	got := regexp.MustCompile(`in .* a second`).ReplaceAllString(s.ok("import", file(t, text)), "in S s (N a second")
	want := `Imported 4 rows in S s (N a second): 4 new, 0 duplicates.

The ledger in the store has 4 transactions on 1 accounts.
  credited            1,999.96
  debited             1,000.00

Its 4 account-days against the balances that the bank printed:
  exact                      2
  within 0.10                1  (the bank rounds)
  off                        1
    account 7 on 1993-02-06: computed 1,000.00, printed 1,001.00
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("import (-want +got):\n%s", diff)
	}
}

func TestBadInputIsRefusedInOneLineThatHelps(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.ok("open", "ann", "--holder", "Ann")
	s.ok("deposit", "ann", "100")
	s.ok("open", "gone", "--holder", "Bob")
	s.ok("close", "gone")
	broken := file(t, small+"4;7;930206;PRIJEM;VKLAD;1.234;1;;;\n")
	for name, c := range map[string]struct{ args, want string }{
		"unknown account":        {"deposit nobody 5", "account nobody: the account is not open; check the number, or open it with: bank open ID --holder NAME"},
		"unknown account shown":  {"account nobody", "account nobody: the account is not open; check the number"},
		"opened twice":           {"open ann --holder Ann", "account ann: the account is open already; choose another number"},
		"negative amount":        {"deposit ann -5", "-5: no amount and no number may be negative here"},
		"negative overdraft":     {"open bob --holder Bob --overdraft -5", "-5: no amount"},
		"no amount":              {"deposit ann 0", "account ann: the amount must be positive"},
		"too much":               {"withdraw ann 100.01", "account ann: insufficient funds: 100.00 is available, 100.01 was wanted"},
		"closing with money":     {"close ann", "account ann: the balance is not zero but 100.00; withdraw, transfer or pay in the difference first"},
		"closed":                 {"deposit gone 5", "account gone: the account is closed; that is for good, use another account"},
		"transfer to itself":     {"transfer ann ann 5", "account ann: sender and receiver are the same account"},
		"transfer to nobody":     {"transfer ann nobody 5", "account nobody: the account is not open"},
		"no such bank":           {"pay ann y! 1 5", "account ann: want a bank code of letters and digits"},
		"no reason":              {"freeze ann --reason= ", "account ann: the reason is missing"},
		"not frozen":             {"unfreeze ann", "account ann: the account is not frozen"},
		"bad number":             {"open a/b --holder Bob", `account "a/b": want 1 to 40 letters`},
		"rebuild of nothing":     {"rebuild nothing", `"nothing": no such consumer; see them with: bank status`},
		"rebuild of a process":   {"rebuild clearing", "clearing: no such consumer that can be rebuilt"},
		"no rebuild to cancel":   {"rebuild days --cancel", "cancel generation 0 of"},
		"redrive of nothing":     {"redrive nothing", `"nothing": no such consumer`},
		"nothing to discard":     {"discard days ann 1 --reason no", "discard account-ann version 1: not parked"},
		"missing file":           {"import /nowhere/f.csv", "open /nowhere/f.csv: no such file or directory"},
		"malformed line":         {"import " + broken, broken + `:5: amount: "1.234" is not an amount: want digits with at most two decimals, such as 1234.56; 3 rows were imported, 0 were there already; mend this and run the import again`},
		"unknown store":          {"account --store mysql://me:secret@host/db ann", `unknown store "mysql://me:xxxxx@host/db": want sqlite:PATH or postgres://user@host/database`},
		"store without a scheme": {"account --store bank.db ann", `unknown store "bank.db": want sqlite:PATH`},
		"server that is down":    {"account --store postgres://me:secret@127.0.0.1:1/db ann", "store postgres://me:xxxxx@127.0.0.1:1/db: is the server running and the address right?"},
	} {
		command, args, _ := strings.Cut(c.args, " ")
		o := s.run(command, strings.Fields(args)...)
		_, message, _ := strings.Cut(o.stderr, "bank: ")
		if o.code != 1 || o.stdout != "" || !strings.HasPrefix(message, c.want) || strings.Count(message, "\n") != 1 {
			t.Errorf("%s: exit %d, stdout %q, stderr %q; want %q", name, o.code, o.stdout, o.stderr, c.want)
		}
		if strings.Contains(o.stderr, "secret") {
			t.Errorf("%s: the password is shown: %q", name, o.stderr)
		}
	}
	if got := s.ok("account", "ann"); !strings.Contains(got, "balance    100.00\n") {
		t.Errorf("what was refused changed the account:\n%s", got)
	}
}

func TestTheStatusShowsEveryConsumer(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.ok("open", "ann", "--holder", "Ann")
	s.ok("freeze", "ann", "--reason", "lost card")
	s.ok("unfreeze", "ann")
	got := s.ok("status")
	for _, name := range []string{"accounts", "statement", "days", "counterparties", "payments", "reconciliation"} {
		if !regexp.MustCompile(`(?m)^` + name + ` +3 +0 +1 +-`).MatchString(got) {
			t.Errorf("%s is not 3 behind:\n%s", name, got)
		}
	}
	if got := s.ok("redrive", "days"); !strings.HasPrefix(got, "0 events of days") {
		t.Errorf("redrive: %s", got)
	}
}

func TestWrongUsageIsExplained(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"deposit ann 1.234":   `<amount>: "1.234" is not an amount: want digits with at most two decimals`,
		"deposit ann":         `expected "<amount>"`,
		"open ann":            "missing flags: --holder=NAME",
		"plunder":             "unexpected argument plunder",
		"import --yaml f.csv": "unknown flag --yaml",
	} {
		o := run(t.Context(), strings.Fields(args)...)
		if o.code == 0 || o.code == 1 || !strings.Contains(o.stderr, want) {
			t.Errorf("%s: exit %d, stderr %q; want %q", args, o.code, o.stderr, want)
		}
	}
	if o := run(t.Context(), "--help"); o.code != 0 || !strings.Contains(o.stdout, "Usage: bank") {
		t.Errorf("--help: exit %d, stdout %q", o.code, o.stdout)
	}
}

func TestAnInterruptedImportSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	// More than a pipe holds: it is written once the import is under way.
	text := header + strings.Repeat("1;7;930101;PRIJEM;VKLAD;1.00;1.00;;;\n", 8000)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cancel()
		w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = w.Close() }()
		_, err = w.WriteString(text)
		if err != nil {
			t.Error(err)
		}
		cancel()
		// One more, so that it cannot have come to the end before. By now it
		// may have stopped reading, too.
		_, _ = w.WriteString("2;7;930101;PRIJEM;VKLAD;1.00;1.00;;;\n")
	})
	o := run(ctx, "import", "--store", s.store, pipe)
	wg.Wait()
	message := regexp.MustCompile(`bank: interrupted: 1 rows were imported, [0-9,]+ were there already; run the import again to go on\n`)
	if o.code != 1 || o.stdout != "" || !message.MatchString(o.stderr) {
		t.Errorf("exit %d, stdout %q, stderr %q", o.code, o.stdout, o.stderr)
	}
}

// Not parallel: it sets the environment.
func TestTheStoreComesFromTheEnvironment(t *testing.T) {
	data := t.TempDir()
	t.Setenv("XDG_DATA_HOME", data)
	t.Setenv("PEAT_BANK_STORE", "")
	own := "sqlite:" + filepath.Join(data, "peat-bank", "bank.db")
	if o := run(t.Context(), "open", "ann", "--holder", "Ann"); o.code != 0 || o.stderr != "store: "+own+"\n" {
		t.Errorf("without any: exit %d, %s", o.code, o.stderr)
	}
	other := "sqlite:" + filepath.Join(data, "other.db")
	t.Setenv("PEAT_BANK_STORE", other)
	if o := run(t.Context(), "account", "ann"); o.code != 1 || !strings.HasPrefix(o.stderr, "store: "+other+"\n") {
		t.Errorf("by environment: exit %d, %s", o.code, o.stderr)
	}
	if o := run(t.Context(), "account", "--store", own, "ann"); o.code != 0 {
		t.Errorf("by flag: exit %d, %s", o.code, o.stderr)
	}
}

// Not parallel: it sets the environment. What the demo suggests is run as printed.
func TestTheDemoSuggestsCommandsThatWork(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	o := run(t.Context())
	if o.code != 0 || !strings.Contains(o.stdout, "3 new, 0 duplicates") {
		t.Fatalf("demo: exit %d, stdout %s, stderr %s", o.code, o.stdout, o.stderr)
	}
	_, text, _ := strings.Cut(o.stdout, "Try next:\n")
	suggested := strings.Split(strings.TrimSpace(text), "\n")
	for _, line := range suggested {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "  #")
		line = strings.ReplaceAll(line, `"Ann Smith"`, "Ann")
		if store, ok := strings.CutPrefix(line, "export PEAT_BANK_STORE="); ok {
			t.Setenv("PEAT_BANK_STORE", store)
			continue
		}
		if strings.HasSuffix(line, " serve") {
			continue // that is another test's
		}
		words := strings.Fields(line)
		command := slices.IndexFunc(words, func(w string) bool {
			return slices.Contains([]string{"account", "open", "deposit", "transfer", "import"}, w)
		})
		if o := run(t.Context(), words[command:]...); o.code != 0 {
			t.Errorf("%s: exit %d, %s", line, o.code, o.stderr)
		}
	}
	if len(suggested) < 5 {
		t.Errorf("the demo suggests too little:\n%s", o.stdout)
	}
}
