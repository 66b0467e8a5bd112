package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
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
	b, err := p.open(ctx, flag)
	if err != nil {
		return err
	}
	defer b.close()
	sum, err := p.importFile(ctx, b, file)
	if err != nil {
		return err
	}
	if err := sum.printText(p.Stdout); err != nil {
		return err
	}
	shown := "1"
	if len(sum.Off) > 0 {
		shown = sum.Off[0].Account // the most interesting one
	}
	return p.printf("%s", strings.NewReplacer(
		"BANK", programName(), "STORE", flag.Store, "FILE", path, "SHOWN", shown,
	).Replace(next))
}

// next is what the demo ends with. The words in capitals are replaced.
const next = `
Try next:
  export PEAT_BANK_STORE=STORE
  BANK account SHOWN
  BANK open ann --holder "Ann Smith" --overdraft 500
  BANK deposit ann 1000
  BANK transfer ann SHOWN 1250.50
  BANK account ann
  BANK import FILE  # every row is a duplicate
`

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
