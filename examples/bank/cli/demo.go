package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/peatlog/peat/examples/bank/ledger"
	"github.com/peatlog/peat/examples/bank/service"
)

type demoCmd struct{}

// Run imports the shipped statement into a new store and says what to try next.
func (*demoCmd) Run(ctx context.Context, p *Program) error {
	folder, err := os.MkdirTemp("", "peat-bank-")
	if err != nil {
		return err
	}
	path := filepath.Join(folder, p.StatementName)
	if err := os.WriteFile(path, p.Statement, 0o600); err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	flag := storeFlag{Store: "sqlite:" + filepath.Join(folder, "bank.db")}
	b, err := p.open(ctx, flag, service.Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	sum, err := p.importFile(ctx, b, file)
	if err != nil {
		return err
	}
	if err := sum.printText(p.Stdout); err != nil {
		return err
	}
	return p.printf(next, programName(), flag.Store, p.firstAccount(), path)
}

// next is what the demo ends with: of the program, the store, an account and
// the statement.
const next = `
Try next:
  export PEAT_BANK_STORE=%[2]s
  %[1]s account %[3]s
  %[1]s open ann --holder "Ann Smith" --overdraft 500
  %[1]s deposit ann 1000
  %[1]s transfer ann %[3]s 1250.50
  %[1]s account ann
  %[1]s import %[4]s  # again: every row is a duplicate
  %[1]s serve  # the pages, at http://127.0.0.1:8080
`

// firstAccount returns an account that is in the shipped statement.
func (p *Program) firstAccount() string {
	account := ""
	for row, err := range ledger.Read(p.StatementName, bytes.NewReader(p.Statement)) {
		if err == nil {
			account = row.Account
		}
		break
	}
	return account
}

// programName is how the user started the program.
func programName() string {
	if !strings.Contains(os.Args[0], "go-build") {
		return os.Args[0]
	}
	if _, err := os.Stat("examples/bank/main.go"); err == nil {
		return "go run ./examples/bank"
	}
	return "go run github.com/peatlog/peat/examples/bank"
}
