// Package aggregate loads, decides on and saves event-sourced aggregates.
//
// # Model
//
// An aggregate is plain state with a fold: Apply takes one event into the
// state. Decisions are ordinary methods of the state that return events or
// refuse. [Define] ties the state to its category and its events, a
// [Repository] ties the definition to a store:
//
//	var Accounts = aggregate.Define("account", Events, func() *Account { return new(Account) })
//
//	repo := aggregate.NewRepository(store, Accounts)
//	root, err := repo.Execute(ctx, "42", func(a *Account) ([]Event, error) { return a.Withdraw(30) })
//
// # Consistency
//
// A save lands only if nobody has written to the stream since the load. All
// events of a save land or none. [Repository.Execute] loads afresh and decides
// again when somebody was faster. [Repository.In] does the same inside a
// transaction of the store, for several aggregates at once.
//
// # Concurrency
//
// A Definition and a Repository are safe for concurrent use. A [Root] belongs to
// one goroutine. Concurrent calls of Execute on one stream are executed one after
// another, in the order of the calls, and share an append; so use one Repository for
// all of them.
//
// # Errors
//
// The errors of package es pass through: es.ErrConflict, es.ErrStreamNotFound,
// es.ErrCorruptStream, es.ErrDecode, es.ErrOutcomeUnknown, es.ErrBusy, es.ErrCommandReused.
// An event that cannot be stored is codec.ErrUnknownEvent or codec.ErrMalformed, an Apply
// that panics is [ErrApply]. A decision's own error is returned as it is.
package aggregate
