package proptest_test

import (
	"context"
	"fmt"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/proptest"
	"github.com/peatlog/peat/subscribe"
)

// A transaction that appended first commits last, and another one is undone by a crash
// after its event was read. The subscription deals with both.
func ExampleLog() {
	ctx := context.Background()
	log := proptest.NewLog(proptest.LogOptions{})
	sub, err := subscribe.New(log, "reader", subscribe.Options{})
	if err != nil {
		panic(err)
	}
	defer sub.Close()
	poll := func() {
		events, err := sub.Poll(ctx)
		for _, e := range events {
			fmt.Println(e.Position, e.Stream, e.Version)
		}
		fmt.Println(len(events), "events,", err)
	}
	note := func(tx *proptest.Tx, key string) {
		event := es.EventData{Type: "noted", Data: []byte(`{}`)}
		if _, err := tx.Append(ctx, es.StreamID{Category: "note", Key: key}, es.Any, event); err != nil {
			panic(err)
		}
	}

	early, late := log.Begin(), log.Begin()
	note(early, "a")
	note(late, "b")
	fmt.Println(late.Commit())
	poll()
	fmt.Println(early.Commit())
	poll()
	fmt.Println(sub.Checkpoint(ctx))

	lost := log.Begin()
	note(lost, "c")
	fmt.Println(lost.CommitAsync()) // visible, and not durable
	poll()
	log.Crash(100)
	fmt.Println(sub.Checkpoint(ctx)) // of what has never happened
	poll()
	// Output:
	// <nil>
	// 2 note-b 1
	// 1 events, <nil>
	// <nil>
	// 1 note-a 1
	// 1 events, <nil>
	// <nil>
	// <nil>
	// 3 note-c 1
	// 1 events, <nil>
	// subscription "reader": checkpoint lost in a crash
	// 0 events, <nil>
}
