package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/peatlog/peat/examples/bank/ledger"
	"github.com/peatlog/peat/examples/bank/service"
)

type importCmd struct {
	storeFlag
	JSON bool   `name:"json" help:"Print the report as JSON."`
	File string `arg:"" help:"The statement, .csv or .csv.gz."`
}

// Run imports a file and prints the report.
func (c *importCmd) Run(ctx context.Context, p *Program) error {
	file, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	b, err := p.open(ctx, c.storeFlag, service.Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	sum, err := p.importFile(ctx, b, file)
	if err != nil {
		return err
	}
	if c.JSON {
		return sum.printJSON(p.Stdout)
	}
	return sum.printText(p.Stdout)
}

// importFile imports a file and reconciles what the store holds then.
func (p *Program) importFile(ctx context.Context, b *service.Bank, file *os.File) (summary, error) {
	begin := time.Now()
	input, finish := p.withProgress(file)
	result, err := ledger.Import(ctx, b.Accounts, ledger.Read(file.Name(), input), ledger.Options{})
	finish()
	if err != nil {
		return summary{}, stopped(ctx, result, err)
	}
	sum := summary{Result: result, elapsed: time.Since(begin)}
	sum.Report, err = ledger.Reconcile(ctx, b.Log)
	return sum, err
}

// stopped tells the user what an import that did not end well has left.
func stopped(ctx context.Context, r ledger.Result, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted: %s rows were imported, %s were there already; run the import again to go on",
			count(r.Appended), count(r.Duplicates))
	}
	return fmt.Errorf("%w; %s rows were imported, %s were there already; mend this and run the import again",
		err, count(r.Appended), count(r.Duplicates))
}

// withProgress shows on a terminal how much of the file has been read.
func (p *Program) withProgress(file *os.File) (input io.Reader, finish func()) {
	terminal, ok := p.Stderr.(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return file, func() {}
	}
	size := int64(-1) // unknown: a spinner instead of a bar
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	bar := progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(terminal), progressbar.OptionSetDescription("importing"),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	return io.TeeReader(file, bar), func() { _ = bar.Finish() }
}
