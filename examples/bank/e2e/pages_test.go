//go:build unix

package e2e_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/examples/bank/service"
	"github.com/peatlog/peat/examples/bank/views"
)

func TestAClerkSeesWhatHappensWithoutReloading(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, address string) {
		s := serve(t, address)
		clerk, other := newTab(t, 1280, 900), newTab(t, 1280, 900)

		other.visit(s.URL)
		other.mark()
		clerk.visit(s.URL)
		clerk.fill("form[action='/accounts']", map[string]string{"id": "ann", "holder": "Ann <b>Smith</b>", "overdraft": "500"}, "button")
		clerk.awaitText(".notice", "The account is open.")
		clerk.awaitText("main", "Ann <b>Smith</b>") // escaped
		s.open(t, "bob", 0)
		other.awaitText("#accounts", "ann")
		other.awaitText("#accounts", "bob")
		other.sameDocument()

		other.visit(s.URL + "/accounts/ann")
		other.mark()
		clerk.fill("form[action$=deposit]", map[string]string{"amount": "1000"}, "#deposit")
		clerk.awaitText(".notice", "The deposit is booked.")
		clerk.awaitText("#balance", "1,000.00")
		other.awaitText("#balance", "1,000.00")
		other.awaitText("#statement", "deposit")

		clerk.visit(s.URL + "/transfer?from=ann")
		clerk.fill("form[action='/transfer']", map[string]string{"to": "bob", "amount": "1250.50"}, "button")
		clerk.awaitText(".notice", "The transfer is booked.")
		clerk.awaitText("#balance", "-250.50")
		other.awaitText("#balance", "-250.50")
		other.awaitText("#statement", "transfer to account bob")
		other.awaitText("#statement", "-1,250.50")
		other.sameDocument()

		clerk.visit(s.URL + "/transfer?from=ann")
		clerk.fill("form[action='/transfer']", map[string]string{"to": "bob", "amount": "250"}, "button")
		clerk.awaitText(".problem", "insufficient funds: 249.50 is available, 250.00 was wanted")
		clerk.await("the form keeps what was typed", `document.querySelector("form[action='/transfer'] [name=amount]").value === "250"`)
		clerk.await("the field is marked", `document.querySelector("form[action='/transfer'] [name=amount]").ariaInvalid === "true"`)

		clerk.visit(s.URL + "/accounts/bob")
		clerk.fill("form[action$=freeze]", map[string]string{"reason": "lost card"}, "button")
		clerk.awaitText("h1", "frozen")
		clerk.awaitText("#statement", "frozen: lost card")
		clerk.visit(s.URL + "/reports")
		clerk.awaitText("#books .verdict", "No money was lost or made")
	})
}

func TestThePageOfEventsShowsThemAsTheyCome(t *testing.T) {
	t.Parallel()
	s := serve(t, newSQLite(t))
	b := newTab(t, 1280, 900)
	b.visit(s.URL + "/live")
	s.open(t, "ann", 12_34)
	b.awaitText("#feed", "opened")
	b.awaitText("#feed", "+12.34")
	b.await("the newest is on top", `document.querySelector("#feed tr").innerText.includes("deposit")`)
}

func TestAPoisonedEventIsSetAsideAndRedriven(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, address string) {
		s := serve(t, address)
		s.open(t, "ann", 100_00)
		s.open(t, "bob", 100_00)
		s.Network.down.Store(true)
		b := newTab(t, 1280, 900)
		b.visit(s.URL + "/transfer?from=ann")
		b.fill("form[action='/pay']", map[string]string{"bank": "YZ", "number": "62457513", "amount": "40"}, "button")
		b.awaitText(".notice", "The payment is requested.")
		b.awaitText("#payments", "requested")

		b.visit(s.URL + "/operations")
		b.mark()
		b.awaitText("#consumer-clearing", "the line is down")
		b.awaitText("#consumer-clearing h2", "1 set aside")
		s.Network.down.Store(false)
		b.sameDocument()
		b.click("#consumer-clearing form[action$=redrive] button")
		b.awaitText("#consumer-clearing h2", "up to date")
		b.visit(s.URL + "/payments")
		b.awaitText("#payments", "settled")

		// One that no code can take is given up.
		_, err := s.Bank.Log.Append(t.Context(), es.StreamID{Category: "account", Key: "bob"}, es.Any,
			es.EventData{Type: "account.deposited", Data: []byte(`{"amount":"lots"}`)})
		if err != nil {
			t.Fatal(err)
		}
		b.visit(s.URL + "/operations")
		for _, name := range []string{views.Accounts, views.Days} {
			b.awaitText("#consumer-"+name+" h2", "1 set aside")
			b.awaitText("#consumer-"+name, "undecodable")
			b.click("#consumer-" + name + " form[action$=redrive] button")
			b.awaitText(".notice", "being delivered again")
			b.awaitText("#consumer-"+name, "after 5 attempts") // it fails again
			b.fill("#consumer-"+name+" form[action$=discard]", map[string]string{"reason": "made by hand"}, "button")
			b.awaitText(".notice", "The event is given up.")
			b.awaitText("#consumer-"+name+" h2", "up to date")
		}
	})
}

func TestARebuildUnderLoadShowsItsProgressAndLosesNothing(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, address string) {
		s := serve(t, address)
		const accounts = 10
		for i := range accounts {
			s.open(t, strconv.Itoa(i), 1000_00)
		}
		stop := load(t, s, accounts)
		until(t, "there is something to rebuild", func() (bool, error) {
			var lines int64
			for i := range accounts {
				row, err := s.Bank.Views.Account(t.Context(), strconv.Itoa(i))
				if err != nil {
					return false, err
				}
				lines += row.Version
			}
			return lines > 100, nil
		})
		b := newTab(t, 1280, 900)
		for _, name := range []string{views.Statement, views.Accounts} {
			b.visit(s.URL + "/operations") // without the notice of the one before
			b.click("#rebuild-" + name)
			b.awaitText(".notice", "The rebuild has begun.")
			b.mark()
			b.awaitText("#consumer-"+name+" .generation", "2")
			b.sameDocument()
		}
		stop()
		s.settle(t)
		for i := range accounts {
			id := strconv.Itoa(i)
			root, err := s.Bank.Accounts.Load(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			lines, err := s.Bank.Views.Statement(t.Context(), id, 0, 1_000_000)
			if err != nil {
				t.Fatal(err)
			}
			if int64(len(lines)) != root.Version() || lines[0].Balance != root.State().Balance {
				t.Errorf("account %s: %d lines down to %v, want %d down to %v", id, len(lines), lines[0].Balance, root.Version(), root.State().Balance)
			}
		}
		books, err := s.Bank.Views.Books(t.Context())
		if err != nil || !books.Conserved() || books.Customers != accounts*1000_00 {
			t.Errorf("the books: %+v, %v", books, err)
		}
	})
}

// load transfers at random until it is stopped.
func load(t *testing.T, s *server, accounts int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for ctx.Err() == nil {
				from := rand.IntN(accounts)
				transfer := account.Transfer{
					From: strconv.Itoa(from), To: strconv.Itoa((from + 1 + rand.IntN(accounts-1)) % accounts),
					Amount: 1 + rand.N(money.Amount(100)),
				}
				_, err := s.Bank.Transfer(ctx, service.Command{}, transfer)
				if err != nil && ctx.Err() == nil && !errors.Is(err, account.ErrInsufficientFunds) {
					t.Error(err)
				}
				time.Sleep(rand.N(20 * time.Millisecond)) // customers think now and then
			}
		})
	}
	return func() { cancel(); workers.Wait() }
}

func TestThePagesFitAPhoneInTheDarkAndHaveNames(t *testing.T) {
	t.Parallel()
	s := serve(t, newSQLite(t))
	s.open(t, "ann", 100_00)
	s.open(t, "an-account-with-a-rather-long-number-12", 999_999_999_99)
	s.settle(t)
	b := newTab(t, 360, 740)
	background := func(scheme string) string {
		b.scheme(scheme)
		return ask[string](b, "getComputedStyle(document.body).backgroundColor")
	}
	for _, path := range []string{"/", "/accounts/ann", "/accounts/an-account-with-a-rather-long-number-12", "/transfer", "/payments", "/reports", "/live", "/operations", "/nowhere"} {
		b.visit(s.URL + path)
		if background("light") == background("dark") {
			t.Errorf("%s is not dark in the dark", path)
		}
		for what, expression := range map[string]string{
			"nothing is wider than the screen": `document.documentElement.scrollWidth <= innerWidth`,
			"every field has a name":           `[...document.querySelectorAll("input:not([type=hidden])")].every(i => i.ariaLabel || i.labels.length > 0)`,
			"there is one heading":             `document.querySelectorAll("h1").length === 1`,
			"no id comes twice":                `new Set([...document.querySelectorAll("[id]")].map(e => e.id)).size === document.querySelectorAll("[id]").length`,
		} {
			if !ask[bool](b, expression) {
				t.Errorf("%s: not so: %s: %s", path, what, ask[string](b, `[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map(e => e.outerHTML.slice(0, 80)).join("\n")`))
			}
		}
	}
}

func TestAnAccountIsOpenedByKeyboard(t *testing.T) {
	t.Parallel()
	s := serve(t, newSQLite(t))
	b := newTab(t, 1280, 900)
	b.visit(s.URL)
	b.do(chromedp.KeyEvent(kb.Tab))
	b.await("the first stop leads past the navigation", `document.activeElement.className === "skip"`)
	for field := range 40 {
		if ask[string](b, `document.activeElement.name ?? ""`) == "id" {
			break
		}
		if field == 39 {
			t.Fatal("the form cannot be reached by the tab key")
		}
		b.do(chromedp.KeyEvent(kb.Tab))
	}
	b.do(chromedp.KeyEvent("ann"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent("Ann"), chromedp.KeyEvent(kb.Enter))
	b.awaitText(".notice", "The account is open.")
	b.awaitText("#version", "1")
}
