package account_test

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/internal/backends"
)

// bank is a store with its way to open a transaction.
type bank struct {
	accounts *account.Repository
	inTx     account.InTx
}

// onBothStores runs a test on SQLite and on PostgreSQL.
func onBothStores(t *testing.T, test func(t *testing.T, b bank)) {
	t.Helper()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		t.Helper()
		test(t, bank{account.NewRepository(b.Store), b.InTx})
	})
}

// openWith opens an account with a balance.
func (b bank) openWith(t *testing.T, id string, balance money.Amount) {
	t.Helper()
	_, err := b.accounts.Execute(t.Context(), id, func(a *account.Account) ([]account.Event, error) {
		events, err := a.Open("holder of "+id, 0)
		return append(events, account.Deposited{Amount: balance}), err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (b bank) balance(t *testing.T, id string) money.Amount {
	t.Helper()
	root, err := b.accounts.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return root.State().Balance
}

func TestConcurrentTransfersKeepTheTotal(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, b bank) {
		t.Helper()
		const accounts, workers, transfers = 4, 16, 20
		for i := range accounts {
			b.openWith(t, strconv.Itoa(i), 100)
		}
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range transfers {
					from := rand.N(accounts)
					to := (from + 1 + rand.N(accounts-1)) % accounts // any other one
					_, err := account.Transfer{From: strconv.Itoa(from), To: strconv.Itoa(to), Amount: rand.N(money.Amount(60)) + 1}.Run(t.Context(), b.accounts, b.inTx)
					if err != nil && !errors.Is(err, account.ErrInsufficientFunds) {
						t.Errorf("transfer: %v", err)
					}
				}
			})
		}
		wg.Wait()
		total := money.Amount(0)
		for i := range accounts {
			balance := b.balance(t, strconv.Itoa(i))
			if balance < 0 {
				t.Errorf("account %d is overdrawn: %v", i, balance)
			}
			total += balance
		}
		if total != accounts*100 {
			t.Errorf("the accounts hold %v together, want %v", total, money.Amount(accounts*100))
		}
	})
}

func TestARefusedTransferMovesNothing(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, b bank) {
		t.Helper()
		b.openWith(t, "a", 100)
		b.openWith(t, "b", 100)
		for name, c := range map[string]struct {
			from, to string
			amount   money.Amount
			why      error
		}{
			// The receiver's id sorts first, so its event is appended before
			// the sender refuses, and must go.
			"too much":       {"b", "a", 101, account.ErrInsufficientFunds},
			"to itself":      {"a", "a", 1, account.ErrSameAccount},
			"to nobody":      {"a", "nobody", 1, account.ErrNotOpen},
			"from nobody":    {"nobody", "a", 1, account.ErrNotOpen},
			"nothing":        {"a", "b", 0, account.ErrAmountNotPositive},
			"negative":       {"a", "b", -1, account.ErrAmountNotPositive},
			"to an empty id": {"a", "", 1, es.ErrInvalidStream},
		} {
			_, err := account.Transfer{From: c.from, To: c.to, Amount: c.amount}.Run(t.Context(), b.accounts, b.inTx)
			if !errors.Is(err, c.why) {
				t.Errorf("%s: got %v, want %v", name, err, c.why)
			}
		}
		if a, b := b.balance(t, "a"), b.balance(t, "b"); a != 100 || b != 100 {
			t.Errorf("balances %v and %v, want both untouched", a, b)
		}
	})
}

func TestATransferWithACommandIDLandsOnce(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, b bank) {
		t.Helper()
		b.openWith(t, "a", 100)
		b.openWith(t, "b", 0)
		for range 3 {
			ctx := es.WithCommandID(t.Context(), "transfer-1")
			if _, err := (account.Transfer{From: "a", To: "b", Amount: 60}).Run(ctx, b.accounts, b.inTx); err != nil {
				t.Fatal(err)
			}
		}
		if a, b := b.balance(t, "a"), b.balance(t, "b"); a != 40 || b != 60 {
			t.Errorf("balances %v and %v, want 0.40 and 0.60", a, b)
		}
	})
}

// A command id is recognised in each stream by itself: one that another command had
// on one of the accounts must not let half of a transfer land.
func TestATransferWithTheCommandIDOfAnotherCommandIsRefused(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, b bank) {
		t.Helper()
		for _, id := range []string{"a", "b", "c"} {
			b.openWith(t, id, 100)
		}
		ctx := es.WithCommandID(t.Context(), "once")
		if _, err := (account.Transfer{ID: "1", From: "a", To: "b", Amount: 60}).Run(ctx, b.accounts, b.inTx); err != nil {
			t.Fatal(err)
		}
		for _, other := range []account.Transfer{
			{ID: "2", From: "a", To: "c", Amount: 60}, {ID: "3", From: "c", To: "b", Amount: 60},
			{ID: "4", From: "c", To: "a", Amount: 60}, {ID: "5", From: "b", To: "c", Amount: 60},
		} {
			if _, err := other.Run(es.WithCommandID(t.Context(), "once"), b.accounts, b.inTx); !errors.Is(err, account.ErrCommandReused) {
				t.Errorf("%+v: %v, want ErrCommandReused", other, err)
			}
		}
		for id, want := range map[string]money.Amount{"a": 40, "b": 160, "c": 100} {
			if got := b.balance(t, id); got != want {
				t.Errorf("account %s has %v, want %v", id, got, want)
			}
		}
	})
}
