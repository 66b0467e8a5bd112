// Package subscribe follows the log: every event once and in order, whatever the
// writers do.
//
// # Model
//
// A [Subscription] is the simple form: its caller polls, and says when events are
// done. A [Runner] does that for any number of [Consumer]s, in any number of
// processes: it hands the events to typed handlers, stores the progress, wakes at
// once when something is appended, tries again what fails, and shares the work.
//
//	runner, err := subscribe.NewRunner(store, subscribe.RunnerOptions{},
//		subscribe.Consumer{
//			Name:     "balances",
//			Filter:   es.Filter{Categories: []string{"account"}},
//			Delivery: subscribe.Transactional(store, subscribe.EachIn(account.Events, updateBalance)),
//		})
//	err = runner.Run(ctx)
//
// [All] yields the log to a script.
//
// # Ordering and delivery
//
// Each event that the filter selects is delivered, the events of a stream in the
// order of their versions. Under es.Committed a reader waits for nobody: a foreign
// transaction that stays open delays nothing; and what was appended after reading an
// event comes behind that event, in one segment. Under es.Settled it waits for all
// older transactions, so that none of them can add to what was delivered.
//
// [AtLeastOnce] hands events over and stores the progress afterwards: what was handled
// and is not stored yet comes again after a crash. [Transactional] stores it in the
// transaction that the handler writes in, so that each event takes effect exactly
// once. docs/delivery.md has a table of what happens when something fails.
//
// # Concurrency
//
// A Subscription belongs to one goroutine. Two processes that work under one name
// are noticed when the second one stores a checkpoint.
//
// A Runner is safe for concurrent use. A handler is called by one goroutine at a time
// per segment, in one process: who works on a segment holds its lease, and whoever
// takes it over makes the one before unable to store anything more.
//
// # Telemetry
//
// A Runner tells its [Tracers] and its logger what it does. Package otelpeat makes
// spans and metrics of OpenTelemetry from it.
//
// # Errors
//
// Handlers are tried again, then the reader of their segment stops with a
// [DeliveryError], or parks the stream ([OnFailure]). Errors of the store are tried
// again for as long as they last.
package subscribe
