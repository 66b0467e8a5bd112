package subscribe_test

import (
	"context"
	"fmt"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
	"github.com/peatlog/peat/subscribe"
)

func Example() {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, ":memory:", sqlite.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = store.Close() }()
	account := es.StreamID{Category: "account", Key: "42"}
	_, err = store.Append(ctx, account, es.NoStream,
		es.EventData{Type: "account.opened", Data: []byte(`{}`)},
		es.EventData{Type: "account.deposited", Data: []byte(`{"amount": 100}`)})
	if err != nil {
		panic(err)
	}

	sub, err := subscribe.New(store, "deposits", subscribe.Options{
		Filter: es.Filter{Categories: []string{"account"}, Types: []string{"account.deposited"}},
	})
	if err != nil {
		panic(err)
	}
	events, err := sub.Poll(ctx)
	if err != nil {
		panic(err)
	}
	for _, e := range events {
		fmt.Println(e.Stream, e.Version, e.Type, string(e.Data))
	}
	fmt.Println(sub.Checkpoint(ctx)) // these are done
	events, err = sub.Poll(ctx)
	fmt.Println(len(events), err)
	// Output:
	// account-42 2 account.deposited {"amount": 100}
	// <nil>
	// 0 <nil>
}
