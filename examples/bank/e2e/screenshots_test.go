//go:build unix

package e2e_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/ledger"
	"github.com/peatlog/peat/examples/bank/service"
)

// screenshotsEnv names a folder for the pictures of the README.
const screenshotsEnv = "PEAT_BANK_SCREENSHOTS"

// This takes the pictures of the README, and tests nothing.
func TestScreenshots(t *testing.T) {
	folder := os.Getenv(screenshotsEnv)
	if folder == "" {
		t.Skipf("no pictures are taken, because %s names no folder", screenshotsEnv)
	}
	s := serve(t, newSQLite(t))
	file, err := os.Open("../testdata/czech-bank-1993.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only read
	if _, err := ledger.Import(t.Context(), s.Bank.Accounts, ledger.Read(file.Name(), file), ledger.Options{}); err != nil {
		t.Fatal(err)
	}
	s.open(t, "ann", 12_500_00)
	s.open(t, "bob", 8_000_00)
	pay := func(bank, number string) {
		if _, _, err := s.Bank.Pay(t.Context(), service.Command{}, "ann", account.Party{Bank: bank, Account: number}, 450_00); err != nil {
			t.Fatal(err)
		}
	}
	pay("YZ", "62457513")
	pay("ZZ", "1234567")
	until(t, "the payments are through", func() (bool, error) {
		all, err := s.Bank.Views.Payments(t.Context(), 2)
		return len(all) == 2 && all[0].State == "refunded" && all[1].State == "settled", err
	})
	s.settle(t)
	s.Network.down.Store(true)
	pay("QR", "7654321")
	for _, p := range []struct {
		name, path, scheme string
		width, height      int64
	}{
		{"overview", "/", "light", 1180, 860},
		{"account", "/accounts/1787", "light", 1180, 900},
		{"account-dark", "/accounts/1787", "dark", 1180, 900},
		{"reports-dark", "/reports", "dark", 1180, 900},
		{"operations", "/operations", "light", 1180, 780},
		{"transfer", "/transfer?from=ann", "light", 1180, 640},
		{"payments", "/payments", "light", 1180, 480},
		{"live", "/live", "dark", 1180, 640},
		{"phone", "/accounts/1787", "light", 390, 844},
		{"phone-dark", "/", "dark", 390, 844},
	} {
		b := newTab(t, p.width, p.height)
		b.scheme(p.scheme)
		b.visit(s.URL + p.path)
		switch p.name {
		case "operations":
			b.awaitText("#consumer-clearing h2", "set aside")
			ask[bool](b, `document.querySelector("#consumer-clearing").scrollIntoView(false), true`)
		case "live":
			for i := range 8 {
				transfer := account.Transfer{From: "ann", To: "bob", Amount: 19_90 + 1}
				if i%3 == 1 {
					transfer.From, transfer.To = "bob", "ann"
				}
				if _, err := s.Bank.Transfer(t.Context(), service.Command{Key: "live" + strconv.Itoa(i)}, transfer); err != nil {
					t.Fatal(err)
				}
			}
			b.await("all of it is there", `document.querySelector("#feed").rows.length >= 16`)
		}
		ctx, cancel := context.WithTimeout(b.ctx, inTime)
		picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, p.name+".png"), picture, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// scheme has the tab prefer light or dark.
func (b *tab) scheme(name string) {
	b.t.Helper()
	b.do(func(ctx context.Context, tab *chromedp.Target) (none chromedp.Void, err error) {
		_, err = cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return none, err
	})
}
