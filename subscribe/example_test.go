package subscribe_test

import (
	"context"
	"database/sql"
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
	defer sub.Close()
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

// A read model in the transactions of the store: each event takes effect exactly once.
func ExampleRunner() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	store, err := sqlite.Open(ctx, ":memory:", sqlite.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = store.Close() }()
	err = store.InTx(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.SQL().ExecContext(ctx, "CREATE TABLE sums (stream TEXT PRIMARY KEY, sum INTEGER NOT NULL)")
		return err
	})
	if err != nil {
		panic(err)
	}

	runner, err := subscribe.NewRunner(store, subscribe.RunnerOptions{}, subscribe.Consumer{
		Name:   "sums",
		Filter: es.Filter{Categories: []string{"note"}},
		Delivery: subscribe.Transactional(store, subscribe.EachIn(notes, func(ctx context.Context, tx *sql.Tx, e es.Envelope[note]) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO sums VALUES (?1, ?2) ON CONFLICT (stream) DO UPDATE SET sum = sum + ?2`,
				e.Stream.Key, e.Event.(noted).N)
			return err
		})),
	})
	if err != nil {
		panic(err)
	}
	ended := make(chan error)
	go func() { ended <- runner.Run(ctx) }()

	appended, err := store.Append(ctx, es.StreamID{Category: "note", Key: "a"}, es.NoStream, noteOf(40), noteOf(2))
	if err != nil {
		panic(err)
	}
	if err := runner.WaitFor(ctx, "sums", appended); err != nil { // read your own write
		panic(err)
	}
	err = store.InTx(ctx, func(tx *sqlite.Tx) error {
		var sum int
		err := tx.SQL().QueryRowContext(ctx, "SELECT sum FROM sums WHERE stream = 'a'").Scan(&sum)
		fmt.Println("the sum is", sum)
		return err
	})
	if err != nil {
		panic(err)
	}
	cancel()
	fmt.Println(<-ended)
	// Output:
	// the sum is 42
	// <nil>
}

func ExampleAll() {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, ":memory:", sqlite.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = store.Close() }()
	if _, err := store.Append(ctx, es.StreamID{Category: "note", Key: "a"}, es.NoStream, noteOf(1), noteOf(2)); err != nil {
		panic(err)
	}
	for e, err := range subscribe.All(ctx, store, notes, subscribe.Options{}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(e.Stream, e.Version, e.Event)
	}
	// Output:
	// note-a 1 {1}
	// note-a 2 {2}
}
