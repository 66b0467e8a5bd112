package proptest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
	"github.com/peatlog/peat/proptest"
	"github.com/peatlog/peat/subscribe"
)

// A run against a real store: writers go through the recorder, what the subscription is
// given is recorded, and the verdict is read in the end.
func ExampleRecorder() {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "history-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	store, err := sqlite.Open(ctx, filepath.Join(folder, "log.db"), sqlite.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = store.Close() }()

	var history proptest.Recorder
	writer := history.Appender(store)
	for n := range 6 {
		stream := es.StreamID{Category: "account", Key: fmt.Sprint(n % 2)}
		if _, err := writer.Append(ctx, stream, es.Any, es.EventData{Type: "account.deposited", Data: []byte(`{}`)}); err != nil {
			panic(err)
		}
	}
	sub, err := subscribe.New(store, "balances", subscribe.Options{BatchEvents: 4})
	if err != nil {
		panic(err)
	}
	follower := history.Follow(proptest.Follower{Name: "balances", Guarantee: proptest.OncePerRun, RealTime: true})
	for range 2 { // what is not stored comes again after a restart
		events, err := sub.Poll(ctx)
		if err != nil {
			panic(err)
		}
		follower.Delivered(events...)
		if err := sub.Reset(ctx); err != nil {
			panic(err)
		}
		follower.Reset()
	}
	if err := history.Log(store.ReadAll(ctx, es.ReadAllOptions{})); err != nil {
		panic(err)
	}
	fmt.Println(proptest.Check(history.History()).Counts(), "of", len(history.History().Log))
	// Output:
	// map[lost:2] of 6
}

// What a reader did that keeps the highest position that it has seen, when position 2
// committed before position 1.
func ExampleCheck() {
	event := func(n byte, key string) proptest.Event {
		return proptest.Event{ID: uuid.UUID{15: n}, Stream: es.StreamID{Category: "account", Key: key}, Version: 1, Position: int64(n)}
	}
	fmt.Println(proptest.Check(proptest.History{
		Writes: []proptest.Write{
			{Events: []proptest.Event{event(1, "ann")}},
			{Events: []proptest.Event{event(2, "bob")}},
			{Events: []proptest.Event{event(3, "cid")}, Outcome: proptest.Failed},
		},
		Followers: []proptest.Follower{{Name: "balances", Steps: []proptest.Step{
			{Event: event(2, "bob")}, {Event: event(3, "cid")}, {Event: event(2, "bob")},
		}}},
	}))
	// Output:
	// 1 lost, 1 refused, 1 repeated
	// balances, step 1: refused account-cid@1 (…00000003): its append failed
	// balances, step 2: repeated account-bob@1 (…00000002): it came before
	// balances: lost account-ann@1 (…00000001): it never came
}
