// Package subscribe follows the log: every event once and in order, whatever the
// writers do.
//
// # Ordering and delivery
//
// A [Subscription] delivers each event that its filter selects, the events of a
// stream in the order of their versions. Under es.Committed it waits for nobody: a
// foreign transaction that stays open delays nothing; and what was appended after
// reading an event comes behind that event. Under es.Settled it waits for all older
// transactions, and every reader sees the same order.
//
// Delivery is at least once: what was polled after the last stored checkpoint comes
// again after a restart.
//
// # Concurrency
//
// A Subscription belongs to one goroutine. Two processes that work under one name
// are noticed when the second one stores a checkpoint.
package subscribe
