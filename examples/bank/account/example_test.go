package account_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
	"github.com/peatlog/peat/examples/bank/account"
)

func Example() {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "bank-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	store, err := sqlite.Open(ctx, filepath.Join(folder, "bank.db"), sqlite.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = store.Close() }()
	accounts := account.NewRepository(store)
	inTx := es.AnyTx(store.InTx)

	for _, name := range []string{"ann", "bob"} {
		_, err := accounts.Execute(ctx, name, func(a *account.Account) ([]account.Event, error) {
			return a.Open(name, 50_00)
		})
		fmt.Println("open", name, err)
	}
	for _, id := range []string{"rent", "more"} {
		_, err := account.Transfer{ID: id, From: "ann", To: "bob", Amount: 30_00}.Run(ctx, accounts, inTx)
		fmt.Println("transfer", err)
	}

	bob, err := accounts.Load(ctx, "bob")
	fmt.Println("bob has", bob.State().Balance, "at version", bob.Version(), err)
	// Output:
	// open ann <nil>
	// open bob <nil>
	// transfer <nil>
	// transfer account ann: insufficient funds: 20.00 is available, 30.00 was wanted
	// bob has 30.00 at version 2 <nil>
}
