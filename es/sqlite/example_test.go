package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
)

func Example() {
	folder, err := os.MkdirTemp("", "example-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	ctx := context.Background()
	store, err := sqlite.Open(ctx, filepath.Join(folder, "bank.db"), sqlite.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = store.Close() }()

	account := es.StreamID{Category: "account", Key: "42"}
	_, err = store.Append(ctx, account, es.NoStream,
		es.EventData{Type: "account.opened", Data: []byte(`{"owner":"Žofie"}`)},
		es.EventData{Type: "account.deposited", Data: []byte(`{"amount":100}`)})
	if err != nil {
		panic(err)
	}
	for rec, err := range store.ReadStream(ctx, account, es.ReadOptions{}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(rec.Version, rec.Type, string(rec.Data))
	}
	// Output:
	// 1 account.opened {"owner":"Žofie"}
	// 2 account.deposited {"amount":100}
}

// An event and the application's own table change in one transaction.
func ExampleStore_InTx() {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, ":memory:", sqlite.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = store.Close() }()

	err = store.InTx(ctx, func(tx *sqlite.Tx) error {
		if _, err := tx.SQL().ExecContext(ctx, "CREATE TABLE balances (account TEXT PRIMARY KEY, amount INTEGER)"); err != nil {
			return err
		}
		account := es.StreamID{Category: "account", Key: "42"}
		if _, err := tx.Append(ctx, account, es.NoStream, es.EventData{Type: "account.opened", Data: []byte(`{}`)}); err != nil {
			return err
		}
		if _, err := tx.SQL().ExecContext(ctx, "INSERT INTO balances VALUES ('42', 0)"); err != nil {
			return err
		}
		version, err := tx.LockStream(ctx, account)
		fmt.Println("version", version)
		return err
	})
	fmt.Println(err)
	// Output:
	// version 1
	// <nil>
}
